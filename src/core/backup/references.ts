import { MANIFEST_NAME } from '../../archive/format.ts';
import { DguardError } from '../../errors.ts';
import { MAX_MANIFEST_BYTES, parseManifest } from '../../manifest/parse.ts';
import type { Manifest } from '../../manifest/types.ts';
import { readObject } from '../../storages/read.ts';
import type { Storage } from '../../storages/types.ts';
import { markKeys } from '../marks.ts';

/** Where a backup that is referred to lies at one destination. */
export interface ReferredCopy {
  readonly id: string;
  readonly folder: string;
  readonly root_sha256: string;
}

/**
 * Reads every backup that is about to be referred to once more: one that is gone, is another, or carries
 * the mark of a prune fails the run. Prune for its part looks at leases and manifests again after it has put
 * its mark: whichever of the two comes second sees the other, without locks or clocks.
 */
export async function assertReferencesStand(
  storage: Storage,
  references: readonly ReferredCopy[],
): Promise<void> {
  for (const { id, folder, root_sha256 } of references) {
    const fail = (why: string, cause?: unknown) =>
      new DguardError('storage_failed', `the backup ${id}, which this one would build on, ${why}`, {
        operation: 'look at the parent',
        subject: folder,
        hint: 'nothing was published; run the backup again, it will find another parent or make a full',
        cause,
      });
    let manifest: Manifest;
    try {
      const bytes = await readObject(storage, `${folder}/${MANIFEST_NAME}`, MAX_MANIFEST_BYTES);
      manifest = parseManifest(bytes, folder);
    } catch (error) {
      throw fail('is gone or cannot be read', error);
    }
    if (manifest.id !== id || manifest.index?.root.sha256 !== root_sha256) throw fail('is another one now');
    const objects = [];
    for await (const object of storage.list(`${folder}/`)) objects.push(object);
    if (markKeys(objects, 'deleting').length > 0) throw fail('is being deleted');
  }
}
