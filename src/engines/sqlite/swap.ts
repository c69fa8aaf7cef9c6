import { chmod, chown, link, open, rename, rm, unlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { DguardError, errnoOf, errorText, toDguardError } from '../../errors.ts';
import type { Warning } from '../types.ts';
import type { Database } from './driver.ts';
import { closeQuietly, isBusy, isDamage, openDatabase, sqliteError } from './driver.ts';
import { lstatIfThere, SIDE_SUFFIXES, sideFiles } from './locate.ts';
import { syncFile } from './stage.ts';
import type { Target } from './target.ts';

const LOCK_WAIT_MS = 2_000;
/** Section 1.2 of https://sqlite.org/fileformat2.html */
const HEADER = Buffer.from('SQLite format 3\0');

/**
 * Puts the staged file in the target's place and keeps what was there under its undo name, which is
 * returned. The target is the old or the new database at every moment.
 *
 * A journal beside the target would be taken for the new database's own (old rows come back, and every
 * check says ok), and the old file without its journal has lost its last commits. So first the journal is
 * emptied into the old file, under a lock that keeps everyone else out.
 */
export async function swapIn(
  staged: string,
  target: Target,
  backupId: string,
  warn: (warning: Warning) => void,
): Promise<string | undefined> {
  if (target.existing === undefined) return await putNew(staged, target, backupId, warn);
  await applyOwner(staged, target.existing, warn);
  await syncFile(staged);
  const seized = await seize(target.path);
  const undo = await freeName(`${target.path}.dguard-undo-${backupId}`);
  const steps: (() => Promise<void>)[] = [];
  try {
    await setAside(target.path, undo, steps);
    await rename(staged, target.path);
  } catch (error) {
    for (const revert of steps.reverse()) await revert();
    seized.letGo();
    throw toDguardError(error, 'target_failed', { operation: 'swap', subject: target.path });
  }
  seized.close();
  await syncFile(dirname(target.path));
  if (seized.wasWal) await returnToWal(undo, warn);
  return undo;
}

interface Seized {
  readonly wasWal: boolean;
  /** After the swap: the handle is on what is now the undo copy. */
  close(): void;
  /** Without a swap: leaves the target as it was. */
  letGo(): void;
}

/** Empties the target's journal into it and locks everyone out until `close` or `letGo`. */
async function seize(path: string): Promise<Seized> {
  let database: Database | undefined;
  let wasWal = false;
  const letGo = () => {
    try {
      if (database?.inTransaction) database.exec('ROLLBACK');
      if (wasWal) database?.pragma('journal_mode = WAL');
    } catch {
      // The journal mode is the least that can be wrong now; the first error is the one to report.
    }
    closeQuietly(database);
  };
  // A file without SQLite's header has no journal that SQLite could empty into it: opening it would only
  // delete the one that lies there. It is kept together with it, as they are.
  if (!(await isDatabase(path))) return { wasWal: false, close: () => {}, letGo: () => {} };
  try {
    database = await openDatabase(path, { readonly: false, busyTimeoutMs: LOCK_WAIT_MS });
    wasWal = database.pragma('journal_mode', { simple: true }) === 'wal';
    if (wasWal) checkpoint(database);
    // By way of PERSIST, which makes SQLite remove a journal file that a connection in that mode has left.
    database.pragma('journal_mode = PERSIST');
    const mode = database.pragma('journal_mode = DELETE', { simple: true });
    if (mode !== 'delete') throw inUse(path);
    database.exec('BEGIN EXCLUSIVE');
    const left = (await sideFiles(path)).filter((side) => side.sizeBytes > 0);
    if (left.length > 0) {
      throw new DguardError('target_refused', `${basename(left[0]!.path)} is still there and not empty`, {
        operation: 'swap',
        subject: path,
        hint: 'stop the writers; if none runs, open the database once with sqlite3 and close it again',
      });
    }
    const held = database;
    return { wasWal, close: () => closeQuietly(held), letGo };
  } catch (error) {
    letGo();
    if (isBusy(error)) throw inUse(path, error);
    // Replacing a database that is broken is what a restore is for: it is kept with its journals as they are.
    if (isDamage(error)) return { wasWal: false, close: () => {}, letGo: () => {} };
    throw sqliteError(error, 'target_failed', 'lock target', path);
  }
}

async function isDatabase(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(HEADER.length), 0, HEADER.length, 0);
    return buffer.equals(HEADER);
  } finally {
    await file.close();
  }
}

function checkpoint(database: Database): void {
  const [result] = database.pragma('wal_checkpoint(TRUNCATE)') as { busy: number }[];
  if (result?.busy !== 0) throw inUse(database.name);
}

function inUse(path: string, cause?: unknown): DguardError {
  return new DguardError('target_refused', 'another program uses the database', {
    operation: 'lock target',
    subject: path,
    hint: `stop the writers, then restore again; see who they are: fuser -v '${path}'`,
    cause,
  });
}

/**
 * Gives the old database its undo name while it keeps its own, so that the rename after it is the swap.
 * `steps` receives what reverts each thing done.
 */
async function setAside(path: string, undo: string, steps: (() => Promise<void>)[]): Promise<void> {
  for (const side of await sideFiles(path)) {
    // What a damaged database leaves has to stay paired with it; of a sound one, only empty files are left.
    const aside = undo + side.path.slice(path.length);
    await rename(side.path, aside);
    steps.push(() => rename(aside, side.path));
  }
  try {
    await link(path, undo);
    steps.push(() => unlink(undo));
  } catch (error) {
    if (!isLinkUnsupported(error)) throw error;
    await rename(path, undo);
    steps.push(() => rename(undo, path));
  }
}

function isLinkUnsupported(error: unknown): boolean {
  return ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(errnoOf(error) ?? '');
}

/** The undo copy is what the old database was, its journal mode included. */
async function returnToWal(undo: string, warn: (warning: Warning) => void): Promise<void> {
  try {
    const database = await openDatabase(undo, { readonly: false });
    try {
      database.pragma('journal_mode = WAL');
    } finally {
      database.close();
    }
  } catch (error) {
    const message = `the undo copy is in rollback-journal mode now: ${errorText(error)}`;
    warn({ message, subject: undo, partial: false });
  }
}

async function putNew(
  staged: string,
  target: Target,
  backupId: string,
  warn: (warning: Warning) => void,
): Promise<undefined> {
  for (const leftover of target.leftovers) {
    const aside = await freeName(`${leftover}.dguard-undo-${backupId}`);
    await rename(leftover, aside);
    warn({
      message: `an empty journal of an earlier database was moved to ${aside}`,
      subject: leftover,
      partial: false,
    });
  }
  try {
    // Unlike a rename, this fails when something came to be there meanwhile.
    await link(staged, target.path);
    await unlink(staged);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') {
      throw new DguardError('target_refused', 'the target came into being during the restore', {
        operation: 'swap',
        subject: target.path,
        hint: 'stop the application that creates it, then restore again',
        cause: error,
      });
    }
    if (!isLinkUnsupported(error)) throw error;
    await rename(staged, target.path);
  }
  await syncFile(dirname(target.path));
  return undefined;
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

/** `path`, or with the first ordinal that is free: an undo copy is never written over. */
async function freeName(path: string): Promise<string> {
  let name = path;
  for (let ordinal = 2; (await lstatIfThere(name)) !== undefined; ordinal++) name = `${path}-${ordinal}`;
  return name;
}

/** Removes a staging file and what SQLite may have put beside it. */
export async function removeStaged(path: string): Promise<void> {
  for (const suffix of ['', ...SIDE_SUFFIXES]) await rm(path + suffix, { force: true });
}
