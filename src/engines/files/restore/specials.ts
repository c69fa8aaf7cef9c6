import { renameSync } from 'node:fs';
import { fsPath, joinPath } from '../../fs-paths.ts';
import { runIn } from '../system/tool.ts';
import type { TreeEntry } from './entry-check.ts';

/** A fifo or device to be made. `path` is a byte string. */
export interface Special {
  readonly path: string;
  readonly entry: TreeEntry;
}

/** What one call of a tool gets; far below ARG_MAX. */
const PER_CALL = 200;

/**
 * Makes fifos and devices with mkfifo(1) and mknod(1), which Node has no call for. They are made under plain
 * names in `workFolder` (arguments cannot carry every byte that a name can) and moved to their places.
 */
export function makeSpecials(specials: readonly Special[], workFolder: string): void {
  const fifos = specials.filter(({ entry }) => entry.kind === 'fifo');
  for (let from = 0; from < fifos.length; from += PER_CALL) {
    const batch = fifos.slice(from, from + PER_CALL);
    runIn(workFolder, 'mkfifo', ['-m', '600', '--', ...batch.map((_, at) => `fifo-${from + at}`)]);
    batch.forEach(({ path }, at) => {
      renameSync(fsPath(joinPath(workFolder, `fifo-${from + at}`)), fsPath(path));
    });
  }
  for (const { path, entry } of specials) {
    if (entry.kind === 'fifo' || entry.device === undefined) continue;
    const type = entry.kind === 'char_device' ? 'c' : 'b';
    const numbers = [String(entry.device.major), String(entry.device.minor)];
    runIn(workFolder, 'mknod', ['-m', '600', '--', 'device', type, ...numbers]);
    renameSync(fsPath(joinPath(workFolder, 'device')), fsPath(path));
  }
}
