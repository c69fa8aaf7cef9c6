import { fromText } from '../../archive/paths.ts';
import { DguardError } from '../../errors.ts';
import type { BackupContent, ContentChunk, ContentEntry } from '../types.ts';
import type { PlainWriter, WrittenTable } from './types.ts';

type Sized = WrittenTable & { readonly sizeBytes: number };

/** Tables as the content of a backup that the target's engine might have made itself. */
export function writtenContent<Written extends Sized>(
  writer: PlainWriter,
  tables: readonly Written[],
  rows: (table: Written) => AsyncIterable<Uint8Array>,
): BackupContent {
  const { files, facts } = writer.describe(tables);
  const readers = new Map<string, () => AsyncIterable<Uint8Array>>();
  const streams: ContentEntry[] = [];
  const add = (path: string, format: string, size: number, read: () => AsyncIterable<Uint8Array>) => {
    readers.set(path, read);
    streams.push({
      type: 'stream',
      path,
      kind: 'stream',
      size,
      media: MEDIA[format] ?? MEDIA['json']!,
      format,
      slices: [],
    });
  };
  for (const table of tables) add(table.recorded.member, 'jsonl', table.sizeBytes, () => rows(table));
  for (const { path, bytes, format } of files) {
    add(path, format, bytes.length, async function* () {
      yield bytes;
    });
  }
  streams.sort((a, b) => (a.path < b.path ? -1 : 1));
  const tableFacts = tables.map(({ table, recorded }): ContentEntry => {
    const name = writer.tableName(table);
    return {
      type: 'table',
      path: fromText(name),
      kind: 'table',
      member: recorded.member,
      table: fromText(name),
      rows: recorded.rows,
    };
  });
  const ranges = new WeakMap<ContentEntry, readonly [number, number]>();
  const read = (entry: ContentEntry): AsyncIterable<Uint8Array> => {
    const reader = readers.get(entry.path);
    const range = ranges.get(entry);
    if (reader !== undefined) return range === undefined ? reader() : cutOut(reader(), ...range);
    throw new DguardError('corrupt', `the backup has no ${entry.path}`, { operation: 'read backup' });
  };
  return {
    facts,
    whole: true,
    sources: [],
    async *entries() {
      yield* streams;
      yield* tableFacts;
    },
    entry: async (path) => streams.find((entry) => entry.path === path),
    read,
    async parts(entry, cuts) {
      const size = entry.type === 'stream' ? entry.size : 0;
      return [...cuts, size].map((to, at): ContentEntry => {
        const from = cuts[at - 1] ?? 0;
        const part = { ...entry, ...(entry.type === 'stream' ? { size: to - from } : {}) } as ContentEntry;
        ranges.set(part, [from, to]);
        return part;
      });
    },
    async *readAll(entries): AsyncGenerator<ContentChunk> {
      for await (const entry of entries) {
        let held: ContentChunk | undefined;
        let position = 0;
        for await (const bytes of read(entry)) {
          if (held !== undefined) yield held;
          held = { entry, position, bytes, last: false };
          position += bytes.length;
        }
        if (held !== undefined) yield { ...held, last: true };
      }
    },
  };
}

/** The bytes of a stream from one position to another. */
async function* cutOut(
  chunks: AsyncIterable<Uint8Array>,
  from: number,
  to: number,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const chunk of chunks) {
    const part = chunk.subarray(Math.max(0, from - at), Math.max(0, to - at));
    if (part.length > 0) yield part;
    at += chunk.length;
    if (at >= to) return;
  }
}

const MEDIA: Readonly<Record<string, string>> = {
  jsonl: 'application/jsonl',
  json: 'application/json',
  sql: 'application/sql',
  'pg_dump-custom': 'application/octet-stream',
};
