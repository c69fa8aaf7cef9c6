import { mkdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { displayPath } from '../../archive/paths.ts';
import { DguardError, errnoOf } from '../../errors.ts';
import { folderOf, fsPath, joinPath } from '../fs-paths.ts';
import { exists, namesIn, syncFolder } from './folder.ts';
import { MARK_FILE, markedPath, readJson, type UnitMember, writeJson, writeMark } from './marks.ts';
import { removeTree } from './remove-tree.ts';

/**
 * All that one restore replaces, old or new as a whole: a marked folder for each of its targets. The state
 * is told by which journal lies in the first folder, and changes by one rename or unlink, which needs no room.
 *
 *     (no journal)   staging: nothing was moved; may be discarded
 *     swapping.json  targets are being replaced; an interruption is reverted
 *     undo.json      done: `data` in each folder is what was replaced
 *     undoing.json   (beside undo.json) what was replaced is being put back; an interruption is reverted
 *     done.json      done, and nothing is to be kept; may be discarded
 */
export interface SwapUnit {
  readonly backupId: string;
  readonly createdAt: string;
  /** The first is the one with the journal. */
  readonly members: readonly UnitMember[];
}

export type UnitState = 'staging' | 'swapping' | 'kept' | 'undoing' | 'done';

/** What is to be at a target, in its marked folder. */
export const NEW_NAME = 'new';

/** What was replaced: `data` by the restore, `data-2` and so on by an undo of it, and of that. */
export function keptName(generation: number): string {
  return generation === 1 ? 'data' : `data-${generation}`;
}

const JOURNAL = { swapping: 'swapping.json', kept: 'undo.json', undoing: 'undoing.json', done: 'done.json' };

export interface UnitTarget {
  readonly path: string;
  readonly place: 'beside' | 'inside';
}

/** Makes the marked folders of a restore (0700). Leaves nothing where it throws. */
export function createUnit(targets: readonly UnitTarget[], backupId: string, createdAt: Date): SwapUnit {
  const members: UnitMember[] = [];
  const unit = { backupId, createdAt: createdAt.toISOString(), members };
  try {
    for (const { path, place } of targets)
      members.push({ target: path, folder: makeFolder(path, place, backupId) });
    const [first] = members;
    for (const { target, folder } of members) {
      const more = folder === first!.folder ? { members } : { primary: first!.folder };
      writeMark(folder, { backupId, target, createdAt: unit.createdAt, ...more });
    }
    return unit;
  } catch (error) {
    discardUnit(unit);
    throw error;
  }
}

/** The same backup may be restored again while an earlier undo copy is still kept. */
function makeFolder(target: string, place: UnitTarget['place'], backupId: string): string {
  for (let attempt = 1; ; attempt += 1) {
    const folder = markedPath(target, place, attempt === 1 ? backupId : `${backupId}-${attempt}`);
    try {
      mkdirSync(fsPath(folder), 0o700);
      return folder;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST' || attempt >= 1000) throw error;
    }
  }
}

export function unitState(unit: SwapUnit): UnitState {
  const has = (name: string) => exists(joinPath(primaryOf(unit), name));
  if (has(JOURNAL.undoing)) return 'undoing';
  if (has(JOURNAL.kept)) return 'kept';
  if (has(JOURNAL.swapping)) return 'swapping';
  return has(JOURNAL.done) ? 'done' : 'staging';
}

/** Writes the journal, durable before anything moves. `facts`: what the engine needs to revert. */
export function beginSwap(
  unit: SwapUnit,
  step: 'swapping' | 'undoing',
  at: Date,
  facts: Readonly<Record<string, unknown>> = {},
): void {
  for (const { folder } of [...unit.members].reverse()) {
    syncFolder(folder);
    syncFolder(folderOf(folder));
  }
  writeJson(primaryOf(unit), JOURNAL[step], {
    dguard: 'journal',
    step,
    backup: unit.backupId,
    created_at: at.toISOString(),
    targets: unit.members.map(({ target }) => displayPath(target)),
    facts,
  });
  syncFolder(primaryOf(unit));
}

/** The commit point: all targets are new from here on. `keep`: what was replaced stays for undo. */
export function commitSwap(unit: SwapUnit, step: 'swapping' | 'undoing', keep: boolean): void {
  moveJournal(unit, step, keep ? 'kept' : 'done');
}

/** After everything was moved back, durably. */
export function endRevert(unit: SwapUnit, step: 'swapping' | 'undoing'): void {
  unlinkSync(fsPath(joinPath(primaryOf(unit), JOURNAL[step])));
  syncJournal(unit);
}

/** What `beginSwap` was told by the engine. */
export function journalFacts(unit: SwapUnit, step: 'swapping' | 'kept' | 'undoing'): Record<string, unknown> {
  return (readJson(primaryOf(unit), JOURNAL[step])?.['facts'] ?? {}) as Record<string, unknown>;
}

/** When what a unit keeps was replaced. */
export function keptSince(unit: SwapUnit): string {
  const at = readJson(primaryOf(unit), JOURNAL.kept)?.['created_at'];
  return typeof at === 'string' ? at : unit.createdAt;
}

/** Removes the folders of a unit with all that is in them. Its targets must be whole: not while it is swapping. */
export function discardUnit(unit: SwapUnit): void {
  const first = unit.members[0];
  // From here on a crash leaves what the next command discards.
  if (first !== undefined && exists(joinPath(first.folder, JOURNAL.kept))) moveJournal(unit, 'kept', 'done');
  for (const { folder } of [...unit.members].reverse()) removeMarked(folder);
}

/** Removes all from a unit's folders but its mark, its journal, and what is named. May be repeated. */
export function tidyUnit(unit: SwapUnit, keep: readonly string[]): void {
  const kept = [MARK_FILE, JOURNAL.kept, ...keep];
  for (const { folder } of unit.members) {
    for (const name of namesIn(folder)) if (!kept.includes(name)) removeTree(joinPath(folder, name));
  }
}

/** The mark goes last: without it nobody would dare to remove the rest. */
function removeMarked(folder: string): void {
  const last = [JOURNAL.done, MARK_FILE];
  for (const name of namesIn(folder)) if (!last.includes(name)) removeTree(joinPath(folder, name));
  for (const name of last) removeTree(joinPath(folder, name));
  try {
    rmdirSync(fsPath(folder));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function moveJournal(unit: SwapUnit, from: keyof typeof JOURNAL, to: keyof typeof JOURNAL): void {
  const folder = primaryOf(unit);
  renameSync(fsPath(joinPath(folder, JOURNAL[from])), fsPath(joinPath(folder, JOURNAL[to])));
  syncJournal(unit);
}

/** Before what a journal spoke of is removed: that may lie on another file system, which keeps an order of its own. */
function syncJournal(unit: SwapUnit): void {
  try {
    syncFolder(primaryOf(unit));
  } catch {
    // Whoever looks finds it changed. A power cut now may bring it back: then it is done again.
  }
}

function primaryOf(unit: SwapUnit): string {
  const first = unit.members[0];
  if (first === undefined) throw new DguardError('internal', 'a swap without a target');
  return first.folder;
}
