import { readdirSync, realpathSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { readChild } from '../../../child/read.ts';
import { DguardError } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import type { MysqlOptions } from '../options.ts';
import type { Flavour } from './connection.ts';

export type ToolName = 'dump' | 'client';

/** A dump tool and a client of one make and version, from one place. */
export interface Tools {
  /** Told by what they say: on Debian `mysqldump` is MariaDB's. */
  readonly flavour: Flavour;
  /** As the tool says it: `10.11.18`. */
  readonly version: string;
  /** What the dump tool is called there. */
  readonly name: string;
  argv(tool: ToolName): readonly string[];
}

export interface ToolRequest {
  readonly options: MysqlOptions;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

const NAMES: Record<ToolName, readonly string[]> = {
  dump: ['mariadb-dump', 'mysqldump'],
  client: ['mariadb', 'mysql'],
};

/** Where distributions and vendors put them besides PATH; `*` is a version. */
const FOLDERS = [
  '/usr/bin',
  '/usr/local/bin',
  '/usr/local/mysql/bin',
  '/usr/local/mariadb/bin',
  '/opt/mysql/bin',
  '/opt/mysql-*/bin',
  '/opt/homebrew/opt/mysql-client/bin',
  '/opt/homebrew/opt/mysql-client@*/bin',
  '/opt/homebrew/opt/mariadb/bin',
  '/usr/local/opt/mysql-client/bin',
  '/usr/local/opt/mariadb/bin',
];

/** All client tools that can be found, in the order of preference: client_path, PATH, usual folders. */
export async function listTools(request: ToolRequest): Promise<readonly Tools[]> {
  const { options } = request;
  if (options.client_command.length > 0) return await listElsewhere(request);
  const folders = [
    ...options.client_path,
    ...(request.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
    ...FOLDERS.flatMap(expand),
  ];
  const seen = new Set<string>();
  const found: Tools[] = [];
  for (const folder of folders) {
    for (const [at, name] of NAMES.dump.entries()) {
      const real = realProgram(join(folder, name));
      if (real === undefined || seen.has(real)) continue;
      seen.add(real);
      const client = [NAMES.client[at]!, ...NAMES.client]
        .map((other) => join(folder, other))
        .find(realProgram);
      if (client === undefined) continue;
      const argv = (tool: ToolName) => [
        ...asUser(options.run_as),
        tool === 'dump' ? join(folder, name) : client,
      ];
      // One that does not even tell its version (a broken library) is none.
      const tools = await describeTools(argv, name, request).catch((error: unknown) => {
        if (request.signal.aborted) throw error;
        return undefined;
      });
      if (tools) found.push(tools);
    }
  }
  return found;
}

/**
 * The tools for a server: of its own make, and of those the nearest version that is not older; else the nearest
 * older one, else those of the other make, with a warning. Throws `tool_missing`, naming the package.
 */
export function chooseTools(
  all: readonly Tools[],
  server: { readonly flavour: Flavour; readonly version: string },
  subject: string,
  warn: (warning: Warning) => void,
): Tools {
  if (all.length === 0) {
    throw new DguardError('tool_missing', 'neither mysqldump nor mariadb-dump was found', {
      operation: 'find client tools',
      subject,
      hint:
        server.flavour === 'mariadb'
          ? 'install them (Debian, Ubuntu: apt-get install mariadb-client; RHEL: dnf install mariadb), or say where they are: client_path'
          : 'install them (Ubuntu: apt-get install mysql-client; RHEL: dnf install mysql; Debian: from dev.mysql.com/downloads), or say where they are: client_path',
    });
  }
  const own = all.filter((tools) => tools.flavour === server.flavour);
  const newer = own
    .filter((tools) => compareVersions(tools.version, server.version) >= 0)
    .sort((a, b) => compareVersions(a.version, b.version))[0];
  const older = own.sort((a, b) => compareVersions(b.version, a.version))[0];
  const chosen = newer ?? older ?? all[0]!;
  if (chosen.flavour !== server.flavour) {
    const title = { mysql: 'MySQL', mariadb: 'MariaDB' };
    warn({
      message: `the server is ${title[server.flavour]} ${server.version}, the client tools are ${title[chosen.flavour]}'s (${chosen.version}): install the server's own, or set client_path`,
      subject,
      partial: false,
    });
  }
  return chosen;
}

/** Compares `10.11.18` and `9.7.4-2` by their numbers. */
export function compareVersions(a: string, b: string): number {
  const parts = (text: string) => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** https://mariadb.com/kb/en/mariadb-dump: `Distrib 10.11.18-MariaDB`, `from 11.8.6-MariaDB`; MySQL's `Ver 9.7.4 for`. */
export function parseVersion(said: string): { flavour: Flavour; version: string } | undefined {
  const maria = /(\d+\.\d+\.\d+)-MariaDB/i.exec(said)?.[1];
  if (maria !== undefined) return { flavour: 'mariadb', version: maria };
  const mysql = /Distrib (\d+\.\d+\.\d+)/.exec(said)?.[1] ?? /Ver (\d+\.\d+\.\d+)/.exec(said)?.[1];
  return mysql === undefined ? undefined : { flavour: 'mysql', version: mysql };
}

async function listElsewhere(request: ToolRequest): Promise<readonly Tools[]> {
  const { options } = request;
  let failure: unknown;
  for (const [at, name] of NAMES.dump.entries()) {
    const argv = (tool: ToolName) => [
      ...asUser(options.run_as),
      ...options.client_command,
      tool === 'dump' ? name : NAMES.client[at]!,
    ];
    try {
      return [await describeTools(argv, name, request)];
    } catch (error) {
      if (request.signal.aborted) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

async function describeTools(
  argv: (tool: ToolName) => readonly string[],
  name: string,
  { env, signal }: ToolRequest,
): Promise<Tools> {
  const said = await readChild([...argv('dump'), '--version'], {
    env,
    signal,
    maxBytes: 10_000,
    failure: { code: 'tool_missing', operation: 'find client tools' },
  });
  const version = parseVersion(said);
  if (version === undefined) {
    throw new DguardError('tool_version', `${argv('dump').join(' ')} is no mysqldump: ${said.trim()}`);
  }
  return { ...version, name, argv };
}

function realProgram(path: string): string | undefined {
  try {
    const real = realpathSync(path);
    return statSync(real).isFile() ? real : undefined;
  } catch {
    return undefined;
  }
}

function expand(pattern: string): string[] {
  const star = pattern.indexOf('*');
  if (star < 0) return [pattern];
  const slash = pattern.lastIndexOf('/', star);
  const end = pattern.indexOf('/', star);
  const prefix = pattern.slice(slash + 1, star);
  try {
    return readdirSync(pattern.slice(0, slash))
      .filter((name) => name.startsWith(prefix))
      .map((name) => pattern.slice(0, slash + 1) + name + pattern.slice(end));
  } catch {
    return [];
  }
}

/** The words before a program that run it as another system user; none for ourselves. */
function asUser(name: string | undefined): string[] {
  if (name === undefined || name === userInfo().username) return [];
  return process.getuid?.() === 0 ? ['runuser', '-u', name, '--'] : ['sudo', '-n', '-u', name, '--'];
}
