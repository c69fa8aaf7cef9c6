import { readdir, readFile, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { DguardError, errnoOf } from '../../../errors.ts';
import type { RestoreRequest, TargetRequest } from '../../types.ts';
import { lstatIfThere, sideFiles } from '../database/locate.ts';
import type { SqliteOptions } from '../options.ts';

/** Where a restored database goes. */
export interface Target {
  /** Absolute, links resolved. */
  readonly path: string;
  readonly existing?: {
    readonly sizeBytes: number;
    readonly mode: number;
    readonly uid: number;
    readonly gid: number;
  };
}

/** Finds the target and refuses it where a restore could lose something. Changes nothing. */
export async function resolveTarget(request: RestoreRequest<SqliteOptions>): Promise<Target> {
  const wanted = await wantedPath(request);
  if (request.folderToCome === dirname(wanted)) return { path: wanted };
  const refuse = (why: string, hint: string) =>
    new DguardError('target_refused', why, { operation: 'restore', subject: wanted, hint });
  const path = await resolveLinks(wanted, refuse);
  const stats = await lstatIfThere(path);
  if (stats === undefined) {
    await refuseLeftovers(path, refuse);
    return { path };
  }
  if (!stats.isFile()) throw refuse('the target is not a regular file', 'name another path with --to-path');
  if (stats.size > 0 && !request.overwrite) {
    throw refuse('the target exists', 'restore to another path (--to-path), or replace it: --overwrite');
  }
  await refuseUsed(path, refuse);
  const { size, mode, uid, gid } = stats;
  return { path, existing: { sizeBytes: size, mode: mode & 0o7777, uid, gid } };
}

/** The target of an undo: what is there now, which may be nothing. */
export async function resolveUndoTarget(path: string): Promise<Target> {
  const refuse = (why: string, hint: string) =>
    new DguardError('target_refused', why, { operation: 'undo', subject: path, hint });
  const stats = await lstatIfThere(path);
  if (stats === undefined) {
    await refuseLeftovers(path, refuse);
    return { path };
  }
  if (!stats.isFile()) throw refuse('the target is not a regular file', 'move it away, then undo again');
  await refuseUsed(path, refuse);
  const { size, mode, uid, gid } = stats;
  return { path, existing: { sizeBytes: size, mode: mode & 0o7777, uid, gid } };
}

/** Where a request's database is or was, with links resolved as far as they lead. */
export async function targetPath(request: TargetRequest<SqliteOptions>): Promise<string> {
  const wanted = await wantedPath(request);
  const nowhere = (why: string, forNew: string) => {
    const hint = `mount the disk that it lies on; for a new place: ${forNew}`;
    return new DguardError('target_refused', why, { operation: 'find target', subject: wanted, hint });
  };
  return await resolveLinks(wanted, nowhere, MAX_LINKS);
}

/** As `targetPath`, or undefined where its folder cannot be seen: where it never was, or its disk is not mounted. */
export async function targetPathIfThere(request: TargetRequest<SqliteOptions>): Promise<string | undefined> {
  try {
    return await targetPath(request);
  } catch (error) {
    if (error instanceof DguardError && error.code === 'target_refused') return undefined;
    throw error;
  }
}

async function refuseUsed(path: string, refuse: (why: string, hint: string) => DguardError): Promise<void> {
  const users = await usersOf(path);
  if (users.length === 0) return;
  throw refuse(`the database is open in ${users.join(', ')}`, 'stop the writers, then restore again');
}

/** Where a request's database is to be, by the name that is given. */
export async function wantedPath(request: TargetRequest<SqliteOptions>): Promise<string> {
  if (request.toDatabase !== undefined) {
    throw new DguardError('unsupported', 'an SQLite backup is restored to a file, not to a database name', {
      operation: 'restore',
      subject: request.toDatabase,
      hint: 'use --to-path FILE',
    });
  }
  const own = request.source?.options.file_path;
  if (request.toPath === undefined && own === undefined) {
    throw new DguardError('usage', 'nothing says where to restore to', {
      operation: 'restore',
      hint: 'use --to-path FILE',
    });
  }
  const path = resolve(request.toPath ?? own!);
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  if (isFolder && request.toPath !== undefined) return join(path, basename(own ?? 'database.db'));
  return path;
}

/** As many as Linux follows (path_resolution(7)). */
const MAX_LINKS = 40;

/**
 * The file behind a link is what is replaced, as SQLite itself names its journals after that one. Half way through a
 * swap there is none: up to `mayDangle` links that lead nowhere are followed.
 */
async function resolveLinks(
  wanted: string,
  refuse: (why: string, hint: string) => DguardError,
  mayDangle = 0,
): Promise<string> {
  try {
    const link = await lstatIfThere(wanted);
    if (
      mayDangle > 0 &&
      link?.isSymbolicLink() === true &&
      (await stat(wanted).catch(() => undefined)) === undefined
    ) {
      const next = await readlink(wanted);
      // Not `resolve`: where a folder is a link, `..` is beside what it leads to.
      const from = isAbsolute(next) ? '' : `${await realpath(dirname(wanted))}/`;
      return await resolveLinks(from + next, refuse, mayDangle - 1);
    }
    if (link !== undefined) return await realpath(wanted);
    return join(await realpath(dirname(wanted)), basename(wanted));
  } catch (error) {
    const code = errnoOf(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    throw refuse(
      'the target is a link to nothing, or its folder does not exist',
      `mkdir -p '${dirname(wanted)}', or name another path with --to-path`,
    );
  }
}

/**
 * A journal beside a missing database: put under a new database it would be played into it, and it may be
 * the only copy of somebody's commits. So one with content is refused.
 */
async function refuseLeftovers(
  path: string,
  refuse: (why: string, hint: string) => DguardError,
): Promise<void> {
  const beside = await sideFiles(path);
  const holding = beside.filter((side) => side.sizeBytes > 0 && !side.path.endsWith('-shm'));
  if (holding.length === 0) return;
  const names = holding.map((side) => basename(side.path)).join(', ');
  throw refuse(
    `${names} of an earlier database lies where the restored one would take it for its own`,
    `it may hold the last commits of that database: move it away first, for example mv '${holding[0]!.path}' '${holding[0]!.path}.old'`,
  );
}

/**
 * The processes that have the database or its journals open, as far as /proc shows them (Linux; other
 * users' only to root). Locks tell of work going on; a rollback-mode connection that idles holds none and
 * would go on writing to the replaced file.
 */
async function usersOf(path: string): Promise<string[]> {
  const names = new Set([path, `${path}-wal`, `${path}-shm`, `${path}-journal`]);
  const processes = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name));
  const users: string[] = [];
  for (const pid of processes) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
    for (const descriptor of descriptors) {
      const opened = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
      if (!names.has(opened)) continue;
      const command = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '');
      users.push(`process ${pid} (${command.trim()})`);
      break;
    }
  }
  return users;
}
