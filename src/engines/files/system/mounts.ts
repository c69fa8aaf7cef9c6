import { readFileSync, statSync } from 'node:fs';
import { fromBytes } from '../../../archive/paths.ts';
import { folderOf, fsPath, isWithin } from '../../fs-paths.ts';

/** Where file systems are mounted, bind mounts among them. Byte strings. */
export interface Mounts {
  isPoint(path: string): boolean;
  /** A mount point below a folder, or undefined. */
  below(folder: string): string | undefined;
}

/** As Linux tells them in proc(5), /proc/PID/mountinfo; elsewhere by device numbers alone. */
export function readMounts(): Mounts {
  let points = new Set<string>();
  try {
    const text = fromBytes(readFileSync('/proc/self/mountinfo'));
    const found = text.split('\n').flatMap((line) => {
      const point = line.split(' ')[4];
      return point === undefined ? [] : [unescapeOctal(point)];
    });
    points = new Set(found);
  } catch {
    // Not Linux.
  }
  return {
    isPoint: (path) =>
      points.size > 0
        ? points.has(path)
        : statSync(fsPath(path)).dev !== statSync(fsPath(folderOf(path))).dev,
    below: (folder) => [...points].find((point) => point !== folder && isWithin(point, folder)),
  };
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
