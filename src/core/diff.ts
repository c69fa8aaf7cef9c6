import type { ContentEntry } from '../archive/entry.ts';
import { compareEntryPaths, displayPath, fromText } from '../archive/paths.ts';
import type { OpenContent } from '../archive/reader.ts';

export interface Change {
  readonly change: 'added' | 'removed' | 'changed';
  /** As shown. */
  readonly path: string;
}

/**
 * What is not the same in two backups, in the order of their entries; both are read once, side by side. Nothing of
 * their data is read: a large file counts as changed by its time, a dump or a database by its digest, whatever it is
 * that differs in it. Errors: `corrupt`.
 */
export async function* changesBetween(older: OpenContent, newer: OpenContent): AsyncGenerator<Change> {
  const olds = older.entries()[Symbol.asyncIterator]();
  const news = newer.entries()[Symbol.asyncIterator]();
  const printOld = await fingerprints(older);
  const printNew = await fingerprints(newer);
  try {
    let [before, after] = [await olds.next(), await news.next()];
    while (before.done !== true || after.done !== true) {
      const order =
        before.done === true
          ? 1
          : after.done === true
            ? -1
            : compareEntryPaths(before.value.path, after.value.path);
      if (order < 0) yield { change: 'removed', path: displayPath(before.value.path) };
      else if (order > 0) yield { change: 'added', path: displayPath(after.value.path) };
      else if (printOld(before.value) !== printNew(after.value))
        yield { change: 'changed', path: displayPath(after.value.path) };
      if (order <= 0) before = await olds.next();
      if (order >= 0) after = await news.next();
    }
  } finally {
    await Promise.all([olds.return?.(), news.return?.()]);
  }
}

type Print = (entry: ContentEntry) => string;

/** A text that is another where an entry is. */
async function fingerprints({ chain }: OpenContent): Promise<Print> {
  const { artifacts } = await chain.link(chain.own);
  const digests = new Map(artifacts.map(({ member, digest }) => [fromText(member), digest]));
  return (entry) => {
    if (entry.type === 'table') return `rows ${entry.rows}`;
    if (entry.type === 'stream') return `stream ${entry.size} ${digests.get(entry.path) ?? ''}`;
    const { kind, size, mode, uid, gid, link, device, xattrs, sha256, mtimeNs } = entry;
    const attributes = xattrs?.map(({ name, value }) => `${name}=${Buffer.from(value).toString('base64')}`);
    const special = [link ?? '', device?.major ?? '', device?.minor ?? '', ...(attributes ?? [])];
    return JSON.stringify([kind, size, mode, uid, gid, sha256 ?? String(mtimeNs), ...special]);
  };
}
