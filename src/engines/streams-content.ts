import type { ContentEntry } from '../archive/entry.ts';
import { DguardError } from '../errors.ts';
import type { BackupContent, ContentChunk } from './types.ts';

/** One stream of a content that no archive holds. */
export interface ContentStream {
  readonly path: string;
  readonly size: number;
  readonly media: string;
  readonly format: string;
  /** All of its bytes, from their beginning; each chunk is the consumer's. */
  read(): AsyncIterable<Uint8Array>;
}

/** Streams as the content of a backup; `tables` are what is said of the rows in them. */
export function streamsContent(
  about: Pick<BackupContent, 'facts' | 'whole'>,
  streams: readonly ContentStream[],
  tables: readonly ContentEntry[] = [],
): BackupContent {
  const readers = new Map(streams.map((stream) => [stream.path, stream]));
  const entries = streams
    .map(
      ({ path, size, media, format }) =>
        ({ type: 'stream', kind: 'stream', path, size, media, format, slices: [] }) satisfies ContentEntry,
    )
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const ranges = new WeakMap<ContentEntry, readonly [number, number]>();
  const read = (entry: ContentEntry): AsyncIterable<Uint8Array> => {
    const stream = readers.get(entry.path);
    const range = ranges.get(entry);
    if (stream !== undefined) return range === undefined ? stream.read() : cutOut(stream.read(), ...range);
    throw new DguardError('corrupt', `the backup has no ${entry.path}`, { operation: 'read backup' });
  };
  return {
    ...about,
    sources: [],
    async *entries() {
      yield* entries;
      yield* tables;
    },
    entry: async (path) => entries.find((entry) => entry.path === path),
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
    async *readAll(wanted): AsyncGenerator<ContentChunk> {
      for await (const entry of wanted) {
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
