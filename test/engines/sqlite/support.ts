import { createHash } from 'node:crypto';
import type { ContentEntry } from '../../../src/archive/entry.ts';
import { fromText } from '../../../src/archive/paths.ts';
import type { SqliteOptions } from '../../../src/engines/sqlite/engine.ts';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import type {
  BackupContent,
  Dump,
  DumpFacts,
  DumpRequest,
  EngineSource,
  RestoreRequest,
  Warning,
} from '../../../src/engines/types.ts';
import { dumpRequest, makePlace, RESTORE_ALL } from '../support.ts';

export { dumpRequest } from '../support.ts';

/** A folder of this test, and what the engine is handed in it. */
export interface Bench {
  readonly folder: string;
  readonly warnings: Warning[];
  source(filePath: string, options?: Partial<SqliteOptions>): EngineSource<SqliteOptions>;
  request(options?: Partial<RestoreRequest<SqliteOptions>>): RestoreRequest<SqliteOptions>;
  remove(): Promise<void>;
}

export async function makeBench(): Promise<Bench> {
  const { folder, warnings, context, remove } = await makePlace('sqlite');
  return {
    folder,
    warnings,
    source: (filePath, options = {}) => ({
      ...context,
      name: 'app',
      options: { file_path: filePath, ...options },
    }),
    request: (options = {}) => ({
      ...context,
      ...RESTORE_ALL,
      backupId: '20260101T000000Z-abcdef',
      ...options,
    }),
    remove,
  };
}

/** A backup held in memory: members by path, tables as entries below them. */
export interface MemoryBackup extends BackupContent {
  readonly members: Map<string, Buffer>;
  readonly paths: readonly string[];
}

/** Dumps, collects and closes. */
export async function backUp(
  source: EngineSource<SqliteOptions>,
  options: Partial<DumpRequest> = {},
): Promise<MemoryBackup> {
  const dump = await sqliteEngine.dump(source, dumpRequest(options));
  try {
    return await collect(dump);
  } finally {
    await dump.close();
  }
}

export async function collect(dump: Dump): Promise<MemoryBackup> {
  const members = new Map<string, Buffer>();
  const entries: ContentEntry[] = [];
  for await (const member of dump.members()) {
    if (member.kind !== 'stream') throw new Error('a tree out of an SQLite dump');
    const { path, media, format } = member;
    const chunks: Buffer[] = [];
    for await (const chunk of member.open()) chunks.push(Buffer.from(chunk));
    const bytes = Buffer.concat(chunks);
    members.set(path, bytes);
    entries.push({ type: 'stream', kind: 'stream', path, size: bytes.length, media, format, slices: [] });
    for (const table of (await member.tables?.()) ?? []) {
      entries.push({
        type: 'table',
        kind: 'table',
        path: `${path}/${fromText(table.name)}`,
        member: path,
        table: fromText(table.name),
        ...(table.rows === undefined ? {} : { rows: table.rows }),
      });
    }
  }
  return memoryBackup(await dump.facts(), members, entries);
}

/** The same backup with one member's bytes replaced. */
export function withMember(backup: MemoryBackup, path: string, bytes: Buffer): MemoryBackup {
  const members = new Map(backup.members).set(path, bytes);
  return { ...backup, members, read: (entry) => readMember(members, entry) };
}

function memoryBackup(facts: DumpFacts, members: Map<string, Buffer>, all: ContentEntry[]): MemoryBackup {
  return {
    facts,
    whole: true,
    sources: [],
    members,
    paths: [...members.keys()],
    entries: async function* () {
      yield* all;
    },
    entry: async (path) => all.find((entry) => entry.path === path),
    read: (entry) => readMember(members, entry),
    parts: () => {
      throw new Error('an SQLite restore reads its members whole');
    },
    readAll: () => {
      throw new Error('an SQLite restore reads its members one by one');
    },
  };
}

/** In chunks of an odd size, so that lines and characters are cut. */
async function* readMember(members: Map<string, Buffer>, entry: ContentEntry): AsyncGenerator<Uint8Array> {
  const bytes = members.get(entry.path);
  if (bytes === undefined) throw new Error(`no member ${entry.path}`);
  const chunkBytes = bytes.length > 1_000_000 ? 1_000_003 : 1_021;
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
