import { readdirSync, realpathSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import { readChild } from '../../../child/read.ts';
import { DguardError } from '../../../errors.ts';
import type { PostgresOptions } from '../options.ts';

export type ToolName = 'pg_dump' | 'pg_dumpall' | 'pg_restore' | 'psql';

/** Client tools of one version, all from one place. */
export interface Tools {
  readonly major: number;
  /** As the tool says it: `17.11`. */
  readonly version: string;
  /** The words that run one of them. */
  argv(tool: ToolName): readonly string[];
}

export interface ToolRequest {
  readonly options: PostgresOptions;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Where distributions put the versions of PostgreSQL, one folder each; `*` is a version. */
const VERSION_FOLDERS = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/usr/libexec/postgresql*',
  '/usr/lib/postgresql*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/opt/homebrew/opt/libpq/bin',
  '/usr/local/opt/postgresql@*/bin',
  '/usr/local/opt/libpq/bin',
  '/usr/local/pgsql/bin',
  '/usr/local/pgsql-*/bin',
  '/Library/PostgreSQL/*/bin',
  '/opt/local/lib/postgresql*/bin',
];

/** All client tools that can be found, in the order of preference: client_path, PATH, version folders. */
export async function listTools(request: ToolRequest): Promise<readonly Tools[]> {
  const { options } = request;
  if (options.client_command.length > 0) {
    const argv = (tool: ToolName) => [...asUser(options.run_as), ...options.client_command, tool];
    return [await describeTools(argv, request)];
  }
  const folders = [
    ...options.client_path,
    ...(request.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
    ...VERSION_FOLDERS.flatMap(expand),
  ];
  const seen = new Set<string>();
  for (const folder of folders) {
    const program = realProgram(join(folder, 'pg_dump'));
    if (program !== undefined) seen.add(program);
  }
  const found = await Promise.all(
    [...seen].map(async (program) => {
      const home = program.slice(0, program.lastIndexOf('/'));
      const argv = (tool: ToolName) => [...asUser(options.run_as), join(home, tool)];
      // One that does not even tell its version (a broken library) is none.
      return await describeTools(argv, request).catch((error: unknown) => {
        if (request.signal.aborted) throw error;
        return undefined;
      });
    }),
  );
  return found.filter((tools) => tools !== undefined);
}

/**
 * The tools for a server: of its own major, else of the nearest newer one, as pg_dump refuses servers newer
 * than itself, and what a newer one writes may not load into an older server. Errors: `tool_missing`,
 * `tool_version`, naming the package to install.
 */
export function chooseTools(all: readonly Tools[], serverMajor: number, subject: string): Tools {
  const details = {
    operation: 'find client tools',
    subject,
    hint: `install the client of PostgreSQL ${serverMajor} (Debian, Ubuntu: apt-get install postgresql-client-${serverMajor}, from apt.postgresql.org where the distribution has none; RHEL: dnf install postgresql${serverMajor}), or say where it is: client_path`,
  };
  if (all.length === 0) throw new DguardError('tool_missing', 'no pg_dump was found', details);
  const fit = all.filter((tools) => tools.major >= serverMajor).sort((a, b) => a.major - b.major)[0];
  if (fit) return all.find((tools) => tools.major === fit.major)!;
  const versions = all.map((tools) => `${tools.version} (${tools.argv('pg_dump').join(' ')})`).join(', ');
  throw new DguardError(
    'tool_version',
    `the server is PostgreSQL ${serverMajor}, and the client tools are older: ${versions}`,
    details,
  );
}

/** From 17 on a dump sets what a server up to 16 does not know (transaction_timeout): it does not load into it. */
export function loadsBack(toolMajor: number, serverMajor: number): boolean {
  return toolMajor < 17 || serverMajor >= 17;
}

async function describeTools(
  argv: (tool: ToolName) => readonly string[],
  { env, signal }: ToolRequest,
): Promise<Tools> {
  const said = await readChild([...argv('pg_dump'), '--version'], {
    env,
    signal,
    maxBytes: 10_000,
    failure: { code: 'tool_missing', operation: 'find client tools' },
  });
  const version = /\(PostgreSQL\)\s+(\d+\S*)/.exec(said)?.[1];
  if (version === undefined) {
    throw new DguardError('tool_version', `${argv('pg_dump').join(' ')} is not PostgreSQL's: ${said.trim()}`);
  }
  return { major: Number.parseInt(version, 10), version, argv };
}

/** Behind links; Debian's pg_wrapper is no pg_dump but a choice of one by other rules than ours. */
function realProgram(path: string): string | undefined {
  try {
    const real = realpathSync(path);
    return statSync(real).isFile() && basename(real) === 'pg_dump' ? real : undefined;
  } catch {
    return undefined;
  }
}

function expand(pattern: string): string[] {
  const star = pattern.indexOf('*');
  if (star < 0) return [pattern];
  const slash = pattern.lastIndexOf('/', star);
  const end = pattern.indexOf('/', star) < 0 ? pattern.length : pattern.indexOf('/', star);
  const prefix = pattern.slice(slash + 1, star);
  try {
    return readdirSync(pattern.slice(0, slash))
      .filter((name) => name.startsWith(prefix) && /^\d+(\.\d+)?$/.test(name.slice(prefix.length)))
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
