import { DguardError } from '../errors.ts';
import type { StoredObject } from '../storages/types.ts';

/** A folder of a destination, with the objects that lie in it directly. */
export interface Folder {
  readonly folder: string;
  readonly objects: readonly StoredObject[];
}

/**
 * Folders with the objects that lie in them directly, each as soon as all of it has been listed: by the order
 * of keys that is when a key comes which is not below it. What lies in no folder is left out.
 */
export async function* wholeFolders(
  listing: AsyncIterable<StoredObject>,
  label: string,
): AsyncGenerator<Folder> {
  /** Each is below the one before it; `prefix` is the folder and its `/`. */
  const open: { prefix: string; folder: string; objects: StoredObject[] }[] = [];
  let before = '';
  for await (const object of listing) {
    // A folder that comes in two parts would seem to hold a lease and no manifest, and prune sweeps such.
    if (object.key <= before) {
      throw new DguardError('storage_failed', `${object.key} is listed after ${before}: out of order`, {
        operation: 'list',
        subject: label,
        hint: 'list again; nothing was changed',
      });
    }
    before = object.key;
    const slash = object.key.lastIndexOf('/');
    if (slash === -1) continue;
    let top = open.at(-1);
    while (top && !object.key.startsWith(top.prefix)) {
      yield top;
      open.pop();
      top = open.at(-1);
    }
    if (top?.prefix.length === slash + 1) top.objects.push(object);
    else {
      const folder = object.key.slice(0, slash);
      open.push({ prefix: `${folder}/`, folder, objects: [object] });
    }
  }
  yield* open;
}
