import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { openContent } from '../../src/archive/reader.ts';
import { Secret } from '../../src/config/secret.ts';
import type {
  BackupContent,
  Dump,
  DumpRequest,
  Engine,
  EngineSource,
  RestoreRequest,
  TargetRequest,
  Warning,
} from '../../src/engines/types.ts';
import { writeBackup } from '../archive/support.ts';
import type { Server } from '../services/server.d.mts';

/** What the tests of all engines share. */

export function dumpRequest(more: Partial<DumpRequest> = {}): DumpRequest {
  return { format: 'native', include: [], exclude: [], parallelJobs: 1, ownPaths: [], ...more };
}

/** A restore of everything, to where nothing is. */
export const RESTORE_ALL = {
  only: [],
  overwrite: false,
  deleteExtra: false,
  scratch: false,
  dryRun: false,
  privileged: false,
  backupId: 'full-2026-01-02T03-04-05Z-abcdefgh',
  onProgress: () => {},
};

/** What an engine is handed of this host: its warnings are collected. */
export function contextIn(tempDir: string, warnings: Warning[] = []) {
  return {
    signal: new AbortController().signal,
    tempDir,
    host: {
      name: hostname(),
      bootId: 'test',
      pid: process.pid,
      pidNamespace: 'pid:[1]',
      privileged: process.getuid?.() === 0,
    },
    now: () => new Date(),
    env: process.env,
    warn: (warning: Warning) => void warnings.push(warning),
  };
}

/** A folder of one test's own, and what an engine is handed in it. */
export async function makePlace(name: string) {
  const folder = await mkdtemp(join(tmpdir(), `dguard-${name}-`));
  const tempDir = join(folder, 'temp');
  await mkdir(tempDir, { mode: 0o700 });
  const warnings: Warning[] = [];
  return {
    folder,
    warnings,
    context: contextIn(tempDir, warnings),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** What an engine is handed against one server. */
export interface ServerBench<Options> {
  readonly folder: string;
  readonly warnings: Warning[];
  source(database: string | string[], options?: Partial<Options>): EngineSource<Options>;
  request(database: string, options?: Partial<RestoreRequest<Options>>): RestoreRequest<Options>;
  target(database: string, options?: Partial<Options>): TargetRequest<Options>;
  remove(): Promise<void>;
}

/** @param options of the datasource, but for its database */
export async function makeServerBench<Options extends object>(
  name: string,
  options: Options,
): Promise<ServerBench<Options>> {
  const { folder, warnings, context, remove } = await makePlace(name);
  const source = (database: string | string[], more: Partial<Options> = {}) => ({
    ...context,
    name: 'app',
    options: { ...options, database: [database].flat(), ...more },
  });
  return {
    folder,
    warnings,
    source,
    request: (database, more = {}) => ({ ...context, source: source(database), ...RESTORE_ALL, ...more }),
    target: (database, more = {}) => ({ ...context, source: source(database, more) }),
    remove,
  };
}

/** A datasource of a server as its superuser, with the client tools of a folder, if they are to be found in one. */
export function loginOf(server: Server, bin: string | undefined) {
  return {
    host: server.host,
    port: server.port,
    username: server.user,
    password: new Secret(server.password),
    database: [],
    all_databases: false,
    client_path: bin === undefined ? [] : [bin],
    client_command: [],
  };
}

/** What an engine is asked to inspect a backup with; a database's own options come beside. */
export function inspectIn(tempDir: string) {
  return { tempDir, signal: new AbortController().signal, env: process.env, onProgress: () => {} };
}

/** Dumps into a real archive and opens it again. */
export async function backUpBy<Options>(
  engine: Engine<Options>,
  source: EngineSource<Options>,
  request: DumpRequest,
): Promise<BackupContent> {
  const dump = await engine.dump(source, request);
  try {
    return await contentOf(dump);
  } finally {
    await dump.close();
  }
}

export async function contentOf(dump: Dump): Promise<BackupContent> {
  const backup = await writeBackup(dump.members(), { level: 1 });
  // As a manifest would carry them.
  const facts = JSON.parse(JSON.stringify(await dump.facts()));
  const content = await openContent(backup, async () => undefined);
  return {
    ...content,
    facts,
    whole: dump.patterns === undefined,
    ...(dump.patterns === undefined ? {} : { patterns: dump.patterns }),
  };
}
