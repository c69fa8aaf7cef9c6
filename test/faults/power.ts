import { dirname } from 'node:path';
import type { TracedCall } from './fs-faults.mjs';

/** A change of names. It is durable once a folder that it touched is synced. */
interface Change {
  readonly call: TracedCall;
  readonly folders: readonly string[];
  durable: boolean;
}

const JOURNALS = ['swapping', 'undoing', 'undo', 'done'].map((name) => `/${name}.json`);
const isJournal = (path: string) => JOURNALS.some((name) => path.endsWith(name));
const isMarked = (path: string) => path.includes('.dguard-undo-');
const isWithin = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`);

/**
 * What a power cut could tear in a traced restore or undo of `targets`, or its being taken back, in words; empty where
 * nothing. Of what was not synced anything may be lost, in any order, but never half a rename:
 *
 * - before the first name at a target changes, the journal, and all else in the marked folders, is durable
 * - before a journal says that it is over, or is removed, all moves are durable
 * - before anything that a journal speaks of is removed, its end is durable; so it is on return
 */
export function tornByPowerCut(calls: readonly TracedCall[], targets: readonly string[]): string[] {
  const torn: string[] = [];
  const changes: Change[] = [];
  const unsynced = new Set<string>();
  const atTarget = (path: string) => !isMarked(path) && targets.some((target) => isWithin(path, target));
  const touchesTarget = ({ path, to }: TracedCall) => atTarget(path) || (to !== undefined && atTarget(to));
  const open = (of: (call: TracedCall) => boolean) =>
    changes.filter(({ durable, call }) => !durable && of(call)).map(({ call }) => textOf(call));
  const demand = (call: TracedCall | undefined, what: readonly string[]) => {
    if (what.length > 0)
      torn.push(`${call ? textOf(call) : 'the end'} before it is durable: ${what.join(', ')}`);
  };
  let isMoving = false;

  for (const call of calls) {
    const { name, path, to } = call;
    if (name === 'syncfs') {
      // All of the file system; what is to be durable with a sync(1) that knows no -f has one of its own.
      for (const change of changes) if (change.call.path.startsWith(`${path}/`)) change.durable = true;
      for (const file of unsynced) if (isWithin(file, path)) unsynced.delete(file);
      continue;
    }
    if (['fsync', 'fdatasync', 'sync', 'datasync'].includes(name)) {
      unsynced.delete(path);
      for (const change of changes) if (change.folders.includes(path)) makeDurable(change);
      continue;
    }
    if (['write', 'writev', 'writeFile', 'appendFile'].includes(name)) unsynced.add(path);
    if (!changesNames(call)) continue;
    const endsJournal =
      isJournal(path) && ['rename', 'unlink'].includes(name) && !path.endsWith('/done.json');
    if (touchesTarget(call) && !isMoving) {
      isMoving = true;
      demand(call, [...open((change) => isMarked(change.path) && !comesWithRename(change)), ...unsynced]);
    } else if (endsJournal) {
      demand(
        call,
        open((change) => touchesTarget(change) || ['rename', 'link'].includes(change.name)),
      );
      isMoving = false;
    } else if (['unlink', 'rmdir'].includes(name) && isMarked(path) && !isJournal(path)) {
      demand(
        call,
        open((change) => isJournal(change.path) && !change.path.endsWith('/done.json')),
      );
    }
    apply(call);
    if (to !== undefined && name === 'rename') for (const file of [...unsynced]) follow(file, path, to);
    if (name === 'unlink') unsynced.delete(path);
  }
  demand(
    undefined,
    open(({ name, to }) => name === 'rename' && isJournal(to ?? '')),
  );
  return torn;

  /** A folder that holds something durable is there. */
  function makeDurable(change: Change): void {
    if (change.durable) return;
    change.durable = true;
    for (const other of changes) {
      if (other.call.name === 'mkdir' && change.folders.includes(other.call.path)) makeDurable(other);
    }
  }

  function apply(call: TracedCall): void {
    const names =
      call.name === 'link' ? [call.to!] : [call.path, ...(call.to === undefined ? [] : [call.to])];
    changes.push({ call, folders: names.map((name) => dirname(name)), durable: false });
  }

  function follow(file: string, from: string, to: string): void {
    if (!isWithin(file, from)) return;
    unsynced.delete(file);
    unsynced.add(to + file.slice(from.length));
  }
}

/** A folder in a marked one, which a durable rename into it brings along. */
function comesWithRename({ name, path }: TracedCall): boolean {
  return name === 'mkdir' && !/\.dguard-undo-[^/]+$/.test(path);
}

function changesNames({ name, isNew }: TracedCall): boolean {
  if (name === 'open' || name === 'writeFile') return isNew === true;
  return ['rename', 'link', 'unlink', 'mkdir', 'rmdir', 'symlink'].includes(name);
}

function textOf({ name, path, to }: TracedCall): string {
  return `${name} ${path}${to === undefined ? '' : ` ${to}`}`;
}
