import { expect } from 'vitest';
import { parseDocument } from '../cli/documents.ts';
import type { Workspace } from '../cli/support.ts';
import { doctor } from '../cli/support-doctor.ts';
import type { Server } from '../services/server.d.mts';

/** What `check` and `doctor` owe the user of any server. */

export interface HealthOf {
  readonly type: string;
  readonly database: string;
  /** A database that is not there. */
  readonly missing: string;
  /** An account of no privileges, and its password. */
  readonly reader: string;
  readonly secret: string;
}

const WRONG = 'not the password';

/** Configures that database for its superuser, for the reader, and as it goes wrong; a job `reader`. */
export function configureHealth(
  place: Workspace,
  server: Server & { bin: string | undefined },
  of: HealthOf,
) {
  const { host, port, user: username, password, bin } = server;
  place.write('password', password);
  place.write('reader', of.secret);
  place.write('wrong', WRONG);
  const password_file = place.path('password');
  const base = {
    type: of.type,
    host,
    port,
    database: of.database,
    ...(bin === undefined ? {} : { client_path: bin }),
  };
  place.config({
    datasources: {
      admin: { ...base, username, password_file },
      reader: { ...base, username: of.reader, password_file: place.path('reader') },
      wrong: { ...base, username, password_file: place.path('wrong') },
      nobody: { ...base, port: 1, username, password_file },
      unnamed: { ...base, database: of.missing, username, password_file },
    },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { reader: { datasources: ['reader'], destinations: ['here'] } },
  });
}

interface Checked {
  readonly name: string;
  readonly status: string;
  readonly size_bytes: number;
  readonly facts: Readonly<Record<string, number>>;
}

/** `check` tells apart what is wrong; returns what it knows of the one that answers. */
export async function checkTellsApart(place: Workspace): Promise<Checked> {
  const outcome = await place.run('check', 'admin', 'wrong', 'nobody', 'unnamed', '--json');
  expect(outcome.code, outcome.stderr).toBe(3);
  const datasources = checkedIn(outcome.stdout);
  expect(Object.fromEntries(datasources.map(({ name, status }) => [name, status]))).toEqual({
    admin: 'ok',
    wrong: 'auth_failed',
    nobody: 'unreachable',
    unnamed: 'error',
  });
  expect(datasources[0]!.facts['connections']).toBeGreaterThanOrEqual(1);
  return datasources[0]!;
}

/** A server that hangs is a timeout, one that was stopped is unreachable. */
export async function silenceIsTold(place: Workspace, server: Server): Promise<void> {
  const { pid, halt, resume } = server;
  if (pid === undefined) return; // not ours to stop
  const status = async () => {
    const outcome = await place.run('check', 'admin', '--timeout', '2s', '--json');
    expect(outcome.code).toBe(1);
    return checkedIn(outcome.stdout)[0]!.status;
  };
  process.kill(pid, 'SIGSTOP');
  try {
    expect(await status()).toBe('timeout');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await halt();
  expect(await status()).toBe('unreachable');
  await resume();
  expect((await place.run('check', 'admin')).code).toBe(0);
}

/**
 * Once the reader lacks nothing any more: doctor is green, a backup is good, proven and restored. What that replaced is
 * kept, and said; dropping it as printed ends that.
 */
export async function readerLacksNothing(place: Workspace): Promise<void> {
  const after = await doctor(place, 'reader');
  expect(after.code, after.text).toBe(0);
  expect(after.findings.filter(({ severity }) => severity !== 'notice')).toEqual([]);
  const backup = await place.run('backup', 'reader');
  expect(backup.code, backup.stderr).toBe(0);
  const proof = await place.run('verify', 'reader', '--level', 'restore');
  expect(proof.code, proof.stdout + proof.stderr).toBe(0);
  const restored = await place.run('restore', 'reader', '--overwrite');
  expect(restored.code, restored.stderr).toBe(0);
  const [kept] = await leftovers(place, 'reader');
  expect(kept).toMatchObject({ severity: 'notice', fix: { lines: ['dguard restore reader --drop-undo'] } });
  expect((await place.run(...kept!.fix!.lines[0]!.split(' ').slice(1), '--yes')).code).toBe(0);
  expect(await leftovers(place, 'reader')).toEqual([]);
}

/** What `doctor` says of databases that restores left. */
export async function leftovers(place: Workspace, ...names: string[]) {
  return (await doctor(place, ...names)).findings.filter(({ topic }) => topic === 'leftovers');
}

/** Neither a right one nor a wrong one. */
export async function noPasswordIsPrinted(place: Workspace, secret: string): Promise<void> {
  for (const args of [['doctor'], ['check']]) {
    const outcome = await place.run(...args);
    expect(outcome.stdout + outcome.stderr).not.toContain(secret);
    expect(outcome.stdout + outcome.stderr).not.toContain(WRONG);
  }
}

function checkedIn(stdout: string): readonly Checked[] {
  return (parseDocument('check', stdout) as unknown as { datasources: readonly Checked[] }).datasources;
}
