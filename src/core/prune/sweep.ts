import { MANIFEST_NAME } from '../../archive/format.ts';
import type { Runtime } from '../../runtime.ts';
import type { StoredObject } from '../../storages/types.ts';
import type { UnfinishedFolder } from '../catalog.ts';
import { putMark } from '../marks.ts';
import { sharedOwnerState } from '../owner.ts';
import { isOfGrammar } from './names.ts';
import { removeNames } from './remove.ts';

/** What an interrupted run has left lies this long before it is swept. */
export const GRACE_MS = 24 * 60 * 60 * 1000;

export interface Sweep {
  readonly folder: string;
  /** `kept` says why not. */
  readonly outcome: 'swept' | 'kept';
  readonly reason: string;
  readonly bytes: number;
}

/** What would become of an unfinished folder by what the listing tells; the storage's clock decides later. */
export function judgeUnfinished(orphan: UnfinishedFolder, runtime: Runtime): Sweep {
  const bytes = orphan.objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const kept = (reason: string): Sweep => ({ folder: orphan.folder, outcome: 'kept', reason, bytes });
  if (!orphan.lease) return kept('no lease in it names this folder: it is not known to be ours');
  if (sharedOwnerState(orphan.lease, runtime.host) === 'alive') return kept('its writer runs');
  const ageMs = runtime.now().getTime() - orphan.newestAt.getTime();
  if (ageMs < GRACE_MS) return kept('its newest object is younger than 24 h');
  return { folder: orphan.folder, outcome: 'swept', reason: 'left by a run that never ended', bytes };
}

/**
 * Removes what a run that never ended has left: only in a folder whose lease names that very folder, only
 * names of the format's grammar, and only past the grace period by the storage's own clock, which a mark
 * that is put first tells. A folder that came to hold a manifest meanwhile stays.
 */
export async function sweepUnfinished(orphan: UnfinishedFolder, runtime: Runtime): Promise<Sweep> {
  const judged = judgeUnfinished(orphan, runtime);
  if (judged.outcome === 'kept') return judged;
  const { storage } = orphan.destination;
  const fields = { id: orphan.lease!.id, manifestBytes: undefined };
  const mark = await putMark(storage, orphan.folder, 'deleting', fields, runtime);
  const withdraw = async (reason: string): Promise<Sweep> => {
    await storage.delete(mark.key);
    return { ...judged, outcome: 'kept', reason };
  };
  const objects: StoredObject[] = [];
  for await (const object of storage.list(`${orphan.folder}/`, { signal: runtime.signal }))
    objects.push(object);
  const names = objects.map(({ key }) => key.slice(orphan.folder.length + 1));
  if (names.includes(MANIFEST_NAME)) return withdraw('it was finished meanwhile');
  const others = objects.filter(({ key }) => !/\/deleting-[^/]+$/.test(key));
  const newest = Math.max(...others.map(({ modifiedAt }) => modifiedAt.getTime()));
  if (mark.modifiedAt.getTime() - newest < GRACE_MS) {
    return withdraw("by the destination's clock its newest object is younger than 24 h");
  }
  const own = names.filter((name) => !name.includes('/') && isOfGrammar(name));
  await removeNames(storage, orphan.folder, own);
  const foreign = names.length - own.length;
  return foreign === 0
    ? judged
    : { ...judged, reason: `${judged.reason}; ${foreign} objects in it are not ours and stay` };
}
