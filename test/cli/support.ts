import { type ChildProcess, spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Manifest } from '../../src/manifest/types.ts';
import { removeFolder } from '../engines/files/support.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const DGUARD = join(ROOT, 'bin/dguard');

export const isRoot = process.getuid?.() === 0;
/** A user without any rights, for what root is never refused. */
export const NOBODY = 65534;

export interface Outcome {
  /** The exit status as a shell has it: 128 + n where signal n ended the program. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd: string;
  /** Added to the environment; undefined takes a variable out of it. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Runs as this user and group, without further groups; needs root. */
  readonly uid?: number;
  /** Another installation's `bin/dguard`. */
  readonly program?: string;
}

/** Runs the built program as a user would. */
export function dguard(cwd: string, ...args: string[]): Promise<Outcome> {
  return runDguard(args, { cwd });
}

export function runDguard(args: readonly string[], options: RunOptions): Promise<Outcome> {
  return startDguard(args, options).ended;
}

/** The running program, and what it came to. */
export function startDguard(
  args: readonly string[],
  options: RunOptions,
): { child: ChildProcess; ended: Promise<Outcome> } {
  const child = spawn(process.execPath, [options.program ?? DGUARD, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  const said: Record<'stdout' | 'stderr', Buffer[]> = { stdout: [], stderr: [] };
  child.stdout.on('data', (chunk: Buffer) => said.stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => said.stderr.push(chunk));
  const ended = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString('utf8');
      const status = code ?? 128 + (constants.signals[signal ?? 'SIGHUP'] ?? 0);
      resolve({ code: status, stdout: text(said.stdout), stderr: text(said.stderr) });
    });
  });
  return { child, ended };
}

/** A backup as `list` and `backup` print it: its manifest, and what is computed. */
export type Backup = Manifest & {
  readonly computed: {
    readonly destination: string;
    readonly folder: string;
    readonly state: string;
    readonly good: boolean;
    readonly problems: readonly string[];
    readonly foreign: readonly string[];
    readonly copies: readonly { destination: string; folder: string; error?: { message: string } }[];
  };
};

/** What a command prints with --json. */
export interface Document {
  readonly command: string;
  readonly status: 'ok' | 'partial' | 'failed';
  readonly exit_code: number;
  readonly errors: readonly {
    readonly code: string;
    readonly operation: string | null;
    readonly subject: string | null;
    readonly message: string;
    readonly hint: string | null;
  }[];
  readonly backups: readonly Backup[];
  readonly restored: readonly { id: string; target: string; undo?: string }[];
  readonly checks: readonly { id: string; overall: string; checks: readonly object[]; warnings: string[] }[];
}

/** A folder of one test's own, with a configuration in it, and dguard run there. */
export interface Workspace {
  readonly folder: string;
  path(...parts: string[]): string;
  write(name: string, text: string | Uint8Array, mode?: number): string;
  /** Writes `backup.yaml` (JSON is YAML). */
  config(document: object): string;
  run(...args: string[]): Promise<Outcome>;
  /** Runs with --json; fails where stdout is not one document. */
  json(...args: string[]): Promise<Outcome & { document: Document }>;
  /** All that `list` knows of a destination, newest first. */
  listed(destination?: string): Promise<readonly Backup[]>;
  remove(): void;
}

export function workspace(options: Omit<RunOptions, 'cwd'> = {}): Workspace {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'dguard-e2e-')));
  const path = (...parts: string[]) => join(folder, ...parts);
  const run = (...args: string[]) => runDguard(args, { cwd: folder, ...options });
  const json = async (...args: string[]) => {
    const outcome = await run(...args, '--json');
    try {
      return { ...outcome, document: JSON.parse(outcome.stdout) as Document };
    } catch {
      throw new Error(`no JSON on stdout: ${outcome.stdout.slice(0, 500)}\n${outcome.stderr}`);
    }
  };
  return {
    folder,
    path,
    write(name, text, mode = 0o600) {
      writeFileSync(path(name), text, { mode });
      return path(name);
    },
    config(document) {
      writeFileSync(path('backup.yaml'), JSON.stringify({ version: 1, ...document }, undefined, 2), {
        mode: 0o600,
      });
      return path('backup.yaml');
    },
    run,
    json,
    listed: async (destination = './backups') => (await json('list', '--from', destination)).document.backups,
    remove: () => removeFolder(folder),
  };
}

/** Every file below a folder with its hash, for "nothing was lost, nothing was written". Empty if there is none. */
export function snapshotOf(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  if (!existsSync(folder)) return found;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    found.set(path.slice(folder.length + 1), entry.isFile() ? hash('sha256', readFileSync(path)) : 'other');
  }
  return found;
}

/** A folder with the example configuration and its data. */
export function demoFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dguard-cli-'));
  cpSync(join(ROOT, 'fixtures/demo'), join(folder, 'fixtures/demo'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  cpSync(join(ROOT, 'backup.example.yaml'), join(folder, 'backup.example.yaml'));
  return folder;
}
