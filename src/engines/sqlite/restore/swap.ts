import { linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs';
import { chmod, chown, open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fromText, toBytes } from '../../../archive/paths.ts';
import { DguardError, errnoOf, errorText, toDguardError } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { findUnits, sweepUnmarked } from '../../undo/find.ts';
import { syncFolder } from '../../undo/folder.ts';
import { readJson, writeJson } from '../../undo/marks.ts';
import {
  beginSwap,
  commitSwap,
  discardUnit,
  endRevert,
  journalFacts,
  keptName,
  NEW_NAME,
  type SwapUnit,
  tidyUnit,
  unitState,
} from '../../undo/unit.ts';
import { openDatabase } from '../database/driver.ts';
import { lstatIfThere, SIDE_SUFFIXES } from '../database/locate.ts';
import { type Seized, seize } from './seize.ts';
import { syncFile } from './stage.ts';
import type { Target } from './target.ts';

/** Where the three databases of a swap are; the kept one and the incoming one are in the marked folder. */
interface Places {
  readonly target: string;
  readonly incoming: string;
  readonly outgoing: string;
}

export interface SwapRequest {
  readonly unit: SwapUnit;
  readonly step: 'swapping' | 'undoing';
  readonly target: Target;
  readonly at: Date;
  /** Where the caller holds the target already. */
  readonly seized?: Seized;
  readonly warn: (warning: Warning) => void;
}

/**
 * Puts the incoming database of a unit in the target's place, under a journal, and keeps what was there. The
 * rename of the incoming one is the moment of change: the target is the old or the new database before and after.
 *
 * A journal beside the target would be taken for the new database's own (old rows come back, and every
 * check says ok), and the old file without its journal has lost its last commits. So first the journal is
 * emptied into the old file, under a lock that keeps everyone else out.
 */
export async function swapDatabase(request: SwapRequest): Promise<{ undo?: string }> {
  const { unit, step, target, warn } = request;
  const generation = step === 'swapping' ? 1 : generationOf(unit, 'kept') + 1;
  const places = placesOf(unit, generation);
  const { existing } = target;
  let seized = request.seized;
  try {
    if (existing !== undefined && step === 'swapping') await applyOwner(places.incoming, existing, warn);
    await syncFile(places.incoming);
    // Never opened while it is held: closing it would drop the lock (POSIX, fcntl(2)).
    const wasWal = seized?.wasWal ?? (existing !== undefined && (await isWal(target.path)));
    beginSwap(unit, step, request.at, { generation, was_wal: wasWal });
    if (existing !== undefined) seized ??= await seize(target.path);
    moveIn(places, existing !== undefined);
  } catch (error) {
    try {
      takeBack(request, places, error);
    } finally {
      seized?.letGo();
    }
    throw toDguardError(error, 'target_failed', { operation: 'swap', subject: target.path });
  }
  // The target is new. What fails from here on is finished by the next command.
  seized?.close();
  const keep = step === 'undoing' || (existing !== undefined && existing.sizeBytes > 0);
  try {
    finish(unit, step, keep);
    if (!keep) return {};
    if (seized?.wasWal) await setWal(places.outgoing);
  } catch (error) {
    const message = `the swap is done, but not tidied up: ${errorText(error)}`;
    warn({ message, subject: target.path, partial: false });
  }
  return keep ? { undo: places.outgoing } : {};
}

function takeBack({ unit, step, target }: SwapRequest, places: Places, reason: unknown): void {
  if (unitState(unit) !== step) return;
  try {
    moveOut(places);
    endRevert(unit, step);
  } catch (error) {
    const both = `the swap failed (${errorText(reason)}), and so did taking it back (${errorText(error)})`;
    throw new DguardError('target_failed', both, {
      operation: 'restore',
      subject: target.path,
      hint: 'nothing is lost: see to the cause, then `dguard restore --recover`',
      cause: error,
    });
  }
}

/** The steps after the change, which may be repeated. */
function finish(unit: SwapUnit, step: 'swapping' | 'undoing', keep: boolean): void {
  const places = placesOf(unit, generationOf(unit, step));
  moveSides(places.incoming, places.target);
  syncFolder(fromText(dirname(places.target)));
  commitSwap(unit, step, keep);
  if (keep) tidy(unit);
}

/** Ends what was interrupted at a target. Returns what was done, in words. */
export async function recoverDatabase(path: string): Promise<string[]> {
  const done: string[] = [];
  for (const unit of findUnits(fromText(path))) {
    const state = unitState(unit);
    if (state === 'swapping' || state === 'undoing') {
      const places = placesOf(unit, generationOf(unit, state));
      const what = state === 'swapping' ? 'restore' : 'undo';
      if (isThere(places.incoming)) {
        moveOut(places);
        if (journalFacts(unit, state)['was_wal'] === true) await backToWal(path);
        endRevert(unit, state);
        done.push(`${path}: an interrupted ${what} was taken back`);
      } else {
        finish(unit, state, isThere(places.outgoing));
        done.push(`${path}: an interrupted ${what} was finished`);
      }
    } else if (state === 'staging') {
      if (readJson(fromText(folderOf(unit)), SEIZED_NAME)?.['was_wal'] === true) await backToWal(path);
      done.push(`${path}: what an interrupted restore had prepared was removed`);
    }
    if (unitState(unit) !== 'kept') {
      discardUnit(unit);
      continue;
    }
    tidy(unit);
    if (journalFacts(unit, 'kept')['was_wal'] === true) await backToWal(keptPath(unit));
  }
  sweepUnmarked(fromText(path));
  return done;
}

const SEIZED_NAME = 'seized.json';

/** Notes before a target is held for longer what that changes in it, so that a recovery can change it back. */
export async function noteSeizure(unit: SwapUnit, path: string): Promise<void> {
  writeJson(fromText(folderOf(unit)), SEIZED_NAME, { was_wal: await isWal(path) });
}

/** The application expects the journal mode that it once set. That it has another is the least that can be wrong. */
async function backToWal(path: string): Promise<void> {
  try {
    if ((await lstatIfThere(path)) !== undefined && !(await isWal(path))) await setWal(path);
  } catch {
    // In use, or no database: it is as its user left it.
  }
}

/** The newest generation (a restore is the first, each undo a further one) that a journal tells of. */
export function generationOf(unit: SwapUnit, step: 'swapping' | 'kept' | 'undoing'): number {
  const { generation } = journalFacts(unit, step);
  return typeof generation === 'number' ? generation : 1;
}

/** Where a unit keeps the replaced database. */
export function keptPath(unit: SwapUnit): string {
  return join(folderOf(unit), keptName(generationOf(unit, 'kept')));
}

/** Where a restore writes the database that is to be at the target. */
export function newPath(unit: SwapUnit): string {
  return join(folderOf(unit), NEW_NAME);
}

/** Removes from the folder what is neither kept nor says so. */
export function tidy(unit: SwapUnit): void {
  const kept = keptName(generationOf(unit, 'kept'));
  tidyUnit(unit, [kept, ...SIDE_SUFFIXES.map((suffix) => kept + suffix)]);
}

function placesOf(unit: SwapUnit, generation: number): Places {
  const folder = folderOf(unit);
  return {
    target: textOf(unit.members[0]!.target),
    incoming: generation === 1 ? newPath(unit) : join(folder, keptName(generation - 1)),
    outgoing: join(folder, keptName(generation)),
  };
}

function folderOf(unit: SwapUnit): string {
  return textOf(unit.members[0]!.folder);
}

function textOf(path: string): string {
  return toBytes(path).toString('utf8');
}

/** What a damaged database leaves has to stay paired with it; of a sound one, only empty files are left. */
function moveIn({ target, incoming, outgoing }: Places, isReplaced: boolean): void {
  moveSides(target, outgoing);
  if (!isReplaced) {
    if (isThere(target)) throw cameUp(target);
  } else {
    try {
      // It keeps its own name as well, so that there is a database at every moment.
      linkSync(target, outgoing);
    } catch (error) {
      if (!isLinkUnsupported(error)) throw error;
      renameSync(target, outgoing);
    }
    // Else a power cut could keep the next rename, and not this name: then the old database would have none.
    syncFolder(fromText(dirname(outgoing)));
  }
  renameSync(incoming, target);
}

/** Back to where `moveIn` began, from wherever it was before its last rename. May be repeated. */
function moveOut({ target, outgoing }: Places): void {
  const kept = lstatSync(outgoing, { throwIfNoEntry: false });
  if (kept !== undefined) {
    const now = lstatSync(target, { throwIfNoEntry: false });
    if (now === undefined) renameSync(outgoing, target);
    else if (now.ino === kept.ino && now.dev === kept.dev) unlinkSync(outgoing);
    else throw cameUp(target);
  }
  moveSides(outgoing, target);
  syncFolder(fromText(dirname(target)));
}

function moveSides(from: string, to: string): void {
  for (const suffix of SIDE_SUFFIXES) {
    if (!isThere(from + suffix)) continue;
    if (isThere(to + suffix)) throw cameUp(to + suffix);
    renameSync(from + suffix, to + suffix);
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isLinkUnsupported(error: unknown): boolean {
  return ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(errnoOf(error) ?? '');
}

function cameUp(path: string): DguardError {
  return new DguardError('target_refused', `${basename(path)} came up during the restore`, {
    operation: 'swap',
    subject: path,
    hint: 'stop the application that makes it and move it away, then: dguard restore --recover',
  });
}

/** Section 1.3 of https://sqlite.org/fileformat2.html: the write version is 2 in WAL mode. */
async function isWal(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(20), 0, 20, 0);
    return bytesRead === 20 && buffer[18] === 2;
  } finally {
    await file.close();
  }
}

async function setWal(path: string): Promise<void> {
  const database = await openDatabase(path, { readonly: false });
  try {
    database.pragma('journal_mode = WAL');
  } finally {
    database.close();
  }
}

async function applyOwner(
  staged: string,
  owner: { uid: number; gid: number; mode: number },
  warn: (warning: Warning) => void,
): Promise<void> {
  try {
    await chown(staged, owner.uid, owner.gid);
  } catch (error) {
    const message = `the owner ${owner.uid}:${owner.gid} could not be given back: ${errorText(error)}`;
    warn({ message, subject: staged, partial: false });
  }
  // After chown, which clears bits.
  await chmod(staged, owner.mode);
}
