import { lstatSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { DguardError, errorText } from '../../../errors.ts';
import { folderOf, fsPath, joinPath } from '../../fs-paths.ts';
import { exists, syncFolder } from '../../undo/folder.ts';
import type { UnitMember } from '../../undo/marks.ts';
import {
  beginSwap,
  commitSwap,
  createUnit,
  discardUnit,
  endRevert,
  journalFacts,
  keptName,
  NEW_NAME,
  type SwapUnit,
  tidyUnit,
  unitState,
} from '../../undo/unit.ts';
import { runIn } from '../system/tool.ts';
import type { Xattrs } from '../system/xattrs.ts';
import type { Target } from '../target.ts';
import { moveBack, moveForward, type SwapSide } from './swap-moves.ts';
import { type SwapStep, writePlan } from './swap-plan.ts';

/** A staged tree beside (or in) its target, not yet in its place. */
export interface Staging {
  readonly target: Target;
  readonly member: UnitMember;
  /** The staged tree or file. */
  readonly data: string;
}

/** All stagings of one restore: swapped together or not at all. */
export interface Swap {
  readonly unit: SwapUnit;
  readonly stagings: readonly Staging[];
  /** Folders above targets that were made for them, highest first. */
  readonly madeParents: readonly string[];
}

/** Makes the marked folders (0700), and the folders above the targets where they are missing. */
export function createSwap(targets: readonly Target[], backupId: string, createdAt: Date): Swap {
  const madeParents: string[] = [];
  try {
    for (const { path } of targets) makeParents(folderOf(path), madeParents);
    const unit = createUnit(targets, backupId, createdAt);
    const stagings = targets.map((target, at): Staging => {
      const member = unit.members[at]!;
      return { target, member, data: joinPath(member.folder, NEW_NAME) };
    });
    const swap = { unit, stagings, madeParents };
    try {
      for (const { target, data } of stagings) {
        if (target.kind === 'directory') mkdirSync(fsPath(data), 0o700);
      }
    } catch (error) {
      discardUnit(unit);
      throw error;
    }
    return swap;
  } catch (error) {
    removeParents(madeParents);
    throw error;
  }
}

/**
 * Removes what was staged; the targets are as they were. Does nothing to a swap that is half done. Never
 * throws: an error is on its way already, and what is left is marked, for the next command to remove.
 */
export function discardSwap(swap: Swap): void {
  try {
    if (unitState(swap.unit) !== 'staging') return;
    discardUnit(swap.unit);
    removeParents(swap.madeParents);
  } catch {
    // See above.
  }
}

/**
 * Puts all staged trees in their places by the steps that are given for each; what was there is kept for
 * undo. All or none: what was moved is moved back where one step fails. Returns the folders that keep what
 * was replaced, none where there was nothing.
 */
export function swapIn(
  swap: Swap,
  stepsOf: (staging: Staging) => Iterable<SwapStep>,
  at: Date,
  xattrs: Xattrs | undefined,
): string[] {
  const { unit, stagings } = swap;
  // Where something is moved away for it, a power cut must not leave empty files in its place.
  for (const { target, member } of stagings) if (target.state === 'occupied') makeDurable(member.folder);
  for (const staging of stagings) writePlan(staging.member.folder, planName(1), stepsOf(staging));
  const isOccupied = stagings.some(({ target }) => target.state === 'occupied');
  const keep = () => isOccupied || stagings.some(({ member }) => holdsSomething(member));
  return exchange(unit, 'swapping', 1, at, xattrs, keep) ? unit.members.map(({ folder }) => folder) : [];
}

/**
 * Moves by the plans of one generation, under the journal. Returns whether what was replaced is kept. Where
 * it throws, the targets are as they were.
 */
export function exchange(
  unit: SwapUnit,
  step: 'swapping' | 'undoing',
  generation: number,
  at: Date,
  xattrs: Xattrs | undefined,
  keep: () => boolean = () => true,
): boolean {
  try {
    beginSwap(unit, step, at, { generation });
    for (const side of sidesOf(unit, generation)) moveForward(side, xattrs);
    for (const { target, folder } of unit.members) {
      syncFolder(folder);
      syncFolder(folderOf(target));
    }
    const kept = keep();
    commitSwap(unit, step, kept);
    return kept;
  } catch (error) {
    if (unitState(unit) === step) revert(unit, step, xattrs, error);
    throw error;
  }
}

/**
 * A restore is the first generation of its unit, each undo a further one: it moves in what the one before
 * has kept, and keeps what it replaces.
 */
function sidesOf(unit: SwapUnit, generation: number): SwapSide[] {
  return unit.members.map((member) => ({
    member,
    plan: planName(generation),
    incoming: generation === 1 ? NEW_NAME : keptName(generation - 1),
    outgoing: keptName(generation),
  }));
}

export function planName(generation: number): string {
  return `plan-${generation}.jsonl`;
}

/** The newest generation that was committed. */
export function generationOf(unit: SwapUnit, step: 'swapping' | 'kept' | 'undoing'): number {
  const { generation } = journalFacts(unit, step);
  return typeof generation === 'number' ? generation : 1;
}

/** Takes a swap back that has begun. Where that fails too, the journal stays for `--recover`. */
export function revert(
  unit: SwapUnit,
  step: 'swapping' | 'undoing',
  xattrs: Xattrs | undefined,
  reason?: unknown,
): void {
  try {
    for (const side of sidesOf(unit, generationOf(unit, step)).reverse()) moveBack(side, xattrs);
    for (const { target } of unit.members) syncFolder(folderOf(target));
    endRevert(unit, step);
  } catch (error) {
    if (reason === undefined) throw error;
    throw new DguardError(
      'target_failed',
      `the swap failed (${errorText(reason)}), and so did taking it back (${errorText(error)})`,
      {
        operation: 'restore',
        subject: unit.members[0]!.target,
        hint: 'nothing is lost: see to the cause, then `dguard restore --recover`',
        cause: error,
      },
    );
  }
}

/** After a commit, or an undo that was taken back: removes what is not of the generation that is kept. */
export function tidy(unit: SwapUnit): void {
  const generation = generationOf(unit, 'kept');
  tidyUnit(unit, [keptName(generation), planName(generation)]);
}

/** The file system that a folder is on, with all that was written to it. */
function makeDurable(folder: string): void {
  try {
    runIn(folder, 'sync', ['-f', '.']);
  } catch {
    // A sync(1) that knows no -f; what is replaced stays for undo anyway.
  }
}

/** An empty folder was the target, and something came up in it until it was moved. */
function holdsSomething({ folder }: UnitMember): boolean {
  const old = joinPath(folder, keptName(1));
  const stat = lstatSync(fsPath(old), { throwIfNoEntry: false });
  return stat !== undefined && (!stat.isDirectory() || readdirSync(fsPath(old)).length > 0);
}

function makeParents(folder: string, made: string[]): void {
  const missing: string[] = [];
  for (let path = folder; path !== '/' && !exists(path); path = folderOf(path)) missing.push(path);
  for (const path of missing.reverse()) {
    mkdirSync(fsPath(path), 0o755);
    made.push(path);
  }
}

function removeParents(made: readonly string[]): void {
  for (const path of [...made].reverse()) {
    try {
      rmdirSync(fsPath(path));
    } catch {
      // Someone put something there: theirs now.
      return;
    }
  }
}
