import type { EntryRecord } from './entry.ts';

/** The fields that entries which follow each other nearly always share. */
export type SharedFields = Pick<EntryRecord, 'dev' | 'mode' | 'uid' | 'gid' | 'user' | 'group'>;

/**
 * `make`, asked again only where an entry's shared fields are others than those of the entry before: to put the
 * same text together for each of many small files took several per cent of a backup's time.
 */
export function onceForNeighbours<T>(make: (shared: SharedFields) => T): (entry: SharedFields) => T {
  let last: SharedFields = { dev: -1n, mode: -1, uid: -1, gid: -1 };
  let made: T;
  return (entry) => {
    const { dev, mode, uid, gid, user, group } = entry;
    if (
      mode === last.mode &&
      uid === last.uid &&
      gid === last.gid &&
      user === last.user &&
      group === last.group &&
      dev === last.dev
    )
      return made;
    // Not the entry itself, which would be kept for it.
    last = {
      dev,
      mode,
      uid,
      gid,
      ...(user !== undefined && { user }),
      ...(group !== undefined && { group }),
    };
    made = make(last);
    return made;
  };
}
