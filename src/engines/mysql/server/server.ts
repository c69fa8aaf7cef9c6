import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openChild } from '../../../child/open.ts';
import { DguardError, errnoOf, errorText, throwIfAborted } from '../../../errors.ts';
import { makeElsewhere } from '../../elsewhere.ts';
import type { EngineSource } from '../../types.ts';
import type { MysqlOptions } from '../options.ts';
import {
  type Connection,
  connectionOf,
  type Flavour,
  optionFileText,
  toolEnvironment,
} from './connection.ts';
import type { ServerInfo } from './server-info.ts';
import { openSession, type Session } from './session.ts';
import { chooseTools, listTools, type Tools } from './tools.ts';

/** A server, before and while it is talked to. */
export interface Server {
  readonly source: EngineSource<MysqlOptions>;
  readonly connection: Connection;
  /** What its tools inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** To be taken out of what anything says. */
  readonly secrets: readonly string[];
  open(database?: string): Promise<Session>;
  /** The first argument of a client tool: the option file with all that says where and who. */
  optionArgument(flavour: Flavour): Promise<string>;
  /** Client tools for this server. */
  tools(info: ServerInfo): Promise<Tools>;
  /** Removes what was written for the tools. */
  dispose(): Promise<void>;
}

export function openServer(source: EngineSource<MysqlOptions>): Server {
  const { options, signal } = source;
  const connection = connectionOf(options, source.name);
  const env = toolEnvironment(source.env);
  const secrets = connection.password === undefined ? [] : [connection.password];
  let found: Promise<readonly Tools[]> | undefined;
  const files = new Map<Flavour, Promise<OptionFile>>();
  return {
    source,
    connection,
    env,
    secrets,
    async open(database) {
      throwIfAborted(signal);
      return await openSession(connection, database, signal);
    },
    async optionArgument(flavour) {
      const file = files.get(flavour) ?? placeOptionFile(source, env, optionFileText(connection, flavour));
      files.set(flavour, file);
      const { path } = await file;
      // Only a user's own file may say what the datasource does not; read after ours, it would win otherwise.
      return `${connection.user === undefined ? '--defaults-extra-file' : '--defaults-file'}=${path}`;
    },
    async tools(info) {
      found ??= listTools({ options, env, signal });
      return chooseTools(await found, info, source.name, source.warn);
    },
    async dispose() {
      for (const file of files.values()) await (await file.catch(() => undefined))?.remove();
    },
  };
}

/** The database of a source that names just one. */
export function onlyDatabase(server: Server): string {
  const { options, name } = server.source;
  const named = options.database[0] ?? server.connection.database;
  if (named !== undefined && options.database.length < 2 && !options.all_databases) return named;
  throw new DguardError('usage', 'the datasource does not name exactly one database', {
    operation: 'choose database',
    subject: name,
    hint: 'say which one: --to-database NAME, or database: NAME in the configuration',
  });
}

interface OptionFile {
  readonly path: string;
  remove(): Promise<void>;
}

/** Mode 0600, in a folder of ours; where the tools run elsewhere, there, put by their own command. */
async function placeOptionFile(
  source: EngineSource<MysqlOptions>,
  env: Readonly<Record<string, string | undefined>>,
  text: string,
): Promise<OptionFile> {
  const { client_command: command, run_as: user } = source.options;
  if (command.length > 0) {
    const path = `/tmp/.dguard-${randomBytes(8).toString('hex')}.cnf`;
    const run = async (script: string, stdin?: string, signal = source.signal) => {
      const child = await openChild([...command, 'sh', '-c', script, path], {
        env,
        signal,
        ...(stdin === undefined ? {} : { stdin: onceOf(Buffer.from(stdin)) }),
        failure: { code: 'source_failed', operation: 'prepare client tools', subject: source.name },
      });
      for await (const _ of child.stdout);
      await child.done;
    };
    await run('umask 077 && cat > "$0"', text);
    return { path, remove: () => run('rm -f "$0"', undefined, new AbortController().signal).catch(() => {}) };
  }
  // Another user cannot look into a folder within temp_dir, which is ours alone.
  const place = user === undefined ? source.tempDir || tmpdir() : tmpdir();
  const writing = writeOptionFile(
    () => (user === undefined ? makeFolder(place) : makeElsewhere(place, source.tempDir)),
    text,
  );
  const { path, remove } = await writing.catch((error: unknown) => {
    if (!['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '')) throw error;
    throw new DguardError('storage_full', `the option file for client tools: ${errorText(error)}`, {
      operation: 'prepare client tools',
      subject: place,
      hint: user === undefined ? 'point temp_dir at a disk with room' : `make room in ${place}`,
      cause: error,
    });
  });
  try {
    if (user !== undefined) await handTo(user, path, source);
  } catch (error) {
    await remove();
    throw error;
  }
  return { path, remove };
}

async function makeFolder(place: string) {
  const folder = await mkdtemp(join(place, 'mysql-'));
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

async function writeOptionFile(
  make: () => ReturnType<typeof makeElsewhere>,
  text: string,
): Promise<OptionFile> {
  const { folder, remove } = await make();
  const path = join(folder, 'client.cnf');
  try {
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    await remove();
    throw error;
  }
  return { path, remove };
}

async function* onceOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** As root, another user's tools can be given the file; otherwise they read no file of ours. */
async function handTo(user: string, path: string, source: EngineSource<MysqlOptions>): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const child = await openChild(['chown', user, path], { env: source.env, signal: source.signal });
  await child.done;
}
