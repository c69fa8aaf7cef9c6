import { closeSync } from 'node:fs';
import type { EntryRecord, EntryXattrs } from '../../../archive/entry.ts';
import type { TreeItem } from '../../member.ts';
import type { Warning } from '../../types.ts';
import type { OpenedFile } from './open-file.ts';

/** Between the thread that walks and opens files and the one that reads them. */

/** Files that were opened one after the other, and what was met between them, as data for another thread. */
export interface OpenedRun {
  readonly fds: readonly number[];
  /** `STAT_FIELDS` of each file. */
  readonly stats: BigInt64Array;
  readonly paths: readonly string[];
  readonly entries: readonly string[];
  /** Of the few files that have any, by their index. */
  readonly xattrs: ReadonlyMap<number, EntryXattrs>;
  /** What is no open file, in order. */
  readonly others: readonly Other[];
}

interface Other {
  /** It comes before this file. */
  readonly before: number;
  readonly is: { readonly entry: EntryRecord } | { readonly warning: Warning };
}

export type OpenMessage =
  | { readonly kind: 'run'; readonly run: OpenedRun }
  | { readonly kind: 'end' }
  | { readonly kind: 'error'; readonly message: string; readonly errno?: string };

const STAT_FIELDS = 13;
/** Nanoseconds of a time that lies further than 2262 need more than 64 bits. */
const HIGH = 64n;

/** Gathers runs of up to `limit` files and other things. */
export function createRunMaker(limit: number) {
  const stats = new BigInt64Array(limit * STAT_FIELDS);
  let fds: number[] = [];
  let paths: string[] = [];
  let entries: string[] = [];
  let xattrs = new Map<number, EntryXattrs>();
  let others: Other[] = [];
  return {
    get isFull() {
      return fds.length + others.length >= limit;
    },
    get isEmpty() {
      return fds.length + others.length === 0;
    },
    addFile({ fd, stat, xattrs: found, path, entry, isSource }: OpenedFile): void {
      let at = fds.length * STAT_FIELDS;
      stats[at++] = stat.dev;
      stats[at++] = stat.ino;
      stats[at++] = stat.mode;
      stats[at++] = stat.nlink;
      stats[at++] = stat.uid;
      stats[at++] = stat.gid;
      stats[at++] = stat.size;
      stats[at++] = stat.blocks;
      stats[at++] = stat.mtimeNs;
      stats[at++] = stat.ctimeNs;
      stats[at++] = stat.mtimeNs >> HIGH;
      stats[at++] = stat.ctimeNs >> HIGH;
      stats[at] = isSource ? 1n : 0n;
      if (found !== undefined) xattrs.set(fds.length, found);
      fds.push(fd);
      paths.push(path);
      entries.push(entry);
    },
    add(is: Other['is']): void {
      others.push({ before: fds.length, is });
    },
    /** What was gathered; the next run begins. */
    take(): OpenedRun {
      const run = { fds, paths, entries, xattrs, others, stats: stats.slice(0, fds.length * STAT_FIELDS) };
      fds = [];
      paths = [];
      entries = [];
      xattrs = new Map();
      others = [];
      return run;
    },
  };
}

function fileOf({ fds, stats, paths, entries, xattrs }: OpenedRun, index: number): OpenedFile {
  const at = index * STAT_FIELDS;
  return {
    fd: fds[index]!,
    path: paths[index]!,
    entry: entries[index]!,
    xattrs: xattrs.get(index),
    stat: {
      dev: stats[at]!,
      ino: stats[at + 1]!,
      mode: stats[at + 2]!,
      nlink: stats[at + 3]!,
      uid: stats[at + 4]!,
      gid: stats[at + 5]!,
      size: stats[at + 6]!,
      blocks: stats[at + 7]!,
      mtimeNs: timeOf(stats[at + 8]!, stats[at + 10]!),
      ctimeNs: timeOf(stats[at + 9]!, stats[at + 11]!),
    },
    isSource: stats[at + 12] !== 0n,
  };
}

function timeOf(low: bigint, high: bigint): bigint {
  return high === low >> 63n ? low : (high << HIGH) | BigInt.asUintN(64, low);
}

/** The items of a run, its files made into such by `takeFile`. Files that were not come to are closed at the end. */
export function* itemsOf(
  run: OpenedRun,
  takeFile: (file: OpenedFile) => TreeItem | undefined,
  warn: (warning: Warning) => void,
): Generator<TreeItem, void, undefined> {
  const { others } = run;
  let file = 0;
  let other = 0;
  try {
    while (file < run.fds.length || other < others.length) {
      if (other < others.length && others[other]!.before <= file) {
        const { is } = others[other++]!;
        if ('warning' in is) warn(is.warning);
        else yield is;
        continue;
      }
      const item = takeFile(fileOf(run, file++));
      if (item !== undefined) yield item;
    }
  } finally {
    closeFiles(run, file);
  }
}

/** Closes the files of a run that nobody takes. */
export function closeFiles(run: OpenedRun, from = 0): void {
  for (let file = from; file < run.fds.length; file++) closeSync(run.fds[file]!);
}
