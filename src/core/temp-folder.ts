import { readFileSync } from 'node:fs';
import { lstat, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeElsewhere } from '../engines/elsewhere.ts';
import { errnoOf, errorText, toDguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { type Owner, type OwnerState, ownerOf, ownerText, readOwner, sharedOwnerState } from './owner.ts';

type Place = Pick<Runtime, 'tempDir' | 'host' | 'emit'>;

/** What runs make in temp_dir, each with the six characters of mkdtemp(3). A backup's has no use in its name. */
const NAME = /^dguard-(?:(?:check|restore|target|scratch|verify)-)?[A-Za-z0-9]{6}$/;
const OWNER_NAME = 'owner.json';

/**
 * Calls `work` with a folder in temp_dir that is gone afterwards, however it ends. One that cannot be removed is a warning:
 * what was done is done, and what went wrong is what is told. Errors: those of `makeTempFolder`, `work`'s.
 */
export async function withTempFolder<T>(
  place: Place,
  use: 'check' | 'restore' | 'target' | 'scratch' | 'verify',
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await makeTempFolder(place, use);
  try {
    return await work(folder);
  } finally {
    await removeTempFolder(place, folder);
  }
}

/** Removes a folder of `makeTempFolder`; where that cannot be done, a warning, and the next run tries again. */
export async function removeTempFolder({ emit }: Pick<Place, 'emit'>, folder: string): Promise<void> {
  await removeFolder(folder).catch((error: unknown) => {
    const message = `could not be removed, and may hold copies of data: ${errorText(error)}`;
    emit({ type: 'log', level: 'warning', subject: folder, message });
  });
}

/**
 * Makes a folder in temp_dir, and removes what processes that were killed have left there: copies of databases, and
 * files with passwords. Errors: `internal` where it cannot be made.
 */
export async function makeTempFolder(place: Place, use?: string): Promise<string> {
  // A look at somebody's health has little time, and changes nothing.
  if (use !== 'check') await removeLeft(place);
  const start = join(place.tempDir, use === undefined ? 'dguard-' : `dguard-${use}-`);
  const folder = await mkdtemp(start).catch((error: unknown) => {
    throw toDguardError(error, 'internal', {
      operation: 'make a temporary folder',
      subject: place.tempDir,
      hint: 'give defaults.temp_dir a folder that this user may write to, on a disk with room',
    });
  });
  const owner = ownerOf(place.host);
  // On a full disk it may be missing or cut: then a folder that is left stays.
  await writeFile(join(folder, OWNER_NAME), JSON.stringify(owner), { mode: 0o600 }).catch(() => {});
  return folder;
}

/** A folder in temp_dir that is dguard's by its name and by what lies in it, and this user's alone. */
export interface TempFolder {
  readonly path: string;
  readonly changedAt: Date;
  /** Whose process made it; undefined where it does not say. */
  readonly owner: Owner | undefined;
  readonly state: OwnerState;
}

export async function listTempFolders({
  tempDir,
  host,
}: Pick<Runtime, 'tempDir' | 'host'>): Promise<readonly TempFolder[]> {
  const found: TempFolder[] = [];
  for (const entry of await readdir(tempDir, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory() || !NAME.test(entry.name)) continue;
    const path = join(tempDir, entry.name);
    const facts = await lstat(path).catch(() => undefined);
    if (!facts?.isDirectory() || facts.uid !== process.getuid?.() || (facts.mode & 0o077) !== 0) continue;
    const marked = await lstat(join(path, OWNER_NAME)).catch(() => undefined);
    if (!marked?.isFile()) continue;
    const owner = ownerIn(path);
    const state = owner === undefined ? 'unknown' : sharedOwnerState(owner, host);
    found.push({ path, changedAt: facts.mtime, owner, state });
  }
  return found;
}

async function removeLeft(place: Place): Promise<void> {
  for (const { path, owner, state } of await listTempFolders(place)) {
    if (state !== 'dead' || !(await removeLeftFolder(path))) continue;
    const message = `what ${ownerText(owner!)}, which was killed, left there is removed`;
    place.emit({ type: 'log', level: 'info', subject: path, message });
  }
}

/** What says whose it is goes last: where something cannot be removed, the next one tries again. */
async function removeFolder(path: string): Promise<void> {
  const names = await readdir(path).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  });
  for (const name of names)
    if (name !== OWNER_NAME) await rm(join(path, name), { recursive: true, force: true });
  await rm(path, { recursive: true, force: true });
}

async function removeLeftFolder(path: string): Promise<boolean> {
  try {
    await removeElsewhere(path);
    await removeFolder(path);
    return true;
  } catch {
    return false;
  }
}

/** Undefined: what it says is cut, or is of no process that can be told from others. */
function ownerIn(folder: string): Owner | undefined {
  try {
    const value = JSON.parse(readFileSync(join(folder, OWNER_NAME), 'utf8')) as Record<string, unknown>;
    const owner = readOwner(value);
    return owner.pid_namespace === '' || owner.pid <= 0 ? undefined : owner;
  } catch {
    return undefined;
  }
}
