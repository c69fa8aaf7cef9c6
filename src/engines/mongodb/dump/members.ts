import { createHash } from 'node:crypto';
import { createCollector } from '../../../archive/heap.ts';
import { compareEntryPaths, fromText } from '../../../archive/paths.ts';
import type { Fingerprint } from '../../jsonl/fingerprint.ts';
import type { StreamMember } from '../../member.ts';
import type { TableFact } from '../../types.ts';
import { documentLines } from '../bson/ejson-write.ts';
import { type CollectionInfo, storedIn } from '../server/catalog.ts';
import { type DumpedFacts, metadataText } from '../server/metadata.ts';
import { fileStem, memberPath } from '../server/names.ts';
import type { ReadAhead } from './prefetch.ts';

/** A collection while it is dumped. */
export interface CollectionDump {
  readonly info: CollectionInfo;
  readonly print: Fingerprint;
  /** Undefined of a view, which has no documents. */
  readonly ahead?: ReadAhead;
  /** All of it can be read ahead of its turn. */
  readonly fits?: boolean;
  /** Set once it was read to its end. */
  dumped?: DumpedFacts;
  /** Its metadata was written before it was read. */
  late?: boolean;
}

export const BSON_END = '.bson';
export const METADATA_END = '.metadata.json';
export const JSONL_END = '.jsonl';
export const SCHEMA_END = '.schema.json';

/** Where a collection's documents are in a native backup; undefined of a view. */
export function documentsPath(database: string, info: CollectionInfo): string | undefined {
  const name = storedIn(info);
  return name === undefined ? undefined : memberPath(database, `${fileStem(name)}${BSON_END}`);
}

/**
 * mongodump's directory: `app/users.bson`, `app/users.metadata.json`. `begin` is told of each collection whose
 * turn it is.
 */
export function nativeMembers(
  database: string,
  dumps: readonly CollectionDump[],
  begin: (dump: CollectionDump) => void,
): StreamMember[] {
  return dumps.flatMap((dump) => {
    const { info, ahead } = dump;
    const metadata: StreamMember = {
      kind: 'stream',
      path: memberPath(database, `${fileStem(info.name)}${METADATA_END}`),
      media: 'application/json',
      format: 'mongodump-metadata',
      async *open() {
        dump.late = ahead !== undefined && dump.dumped === undefined;
        yield Buffer.from(metadataText(info, dump.dumped));
      },
    };
    if (ahead === undefined) return [metadata];
    const documents: StreamMember = {
      kind: 'stream',
      path: documentsPath(database, info)!,
      media: 'application/bson',
      format: 'bson',
      async *open() {
        begin(dump);
        yield* ahead.chunks();
        settle(dump);
      },
      tables: async () => [tableFact(dump)],
    };
    return [documents, metadata];
  });
}

/** `users.jsonl`, a document a line in canonical Extended JSON, and `users.schema.json`. */
export function jsonlMembers(
  _database: string,
  dumps: readonly CollectionDump[],
  begin: (dump: CollectionDump) => void,
): StreamMember[] {
  return dumps.flatMap((dump) => {
    const { info, ahead } = dump;
    const stem = fileStem(info.name);
    const hash = createHash('sha256');
    const schema: StreamMember = {
      kind: 'stream',
      path: fromText(`${stem}${SCHEMA_END}`),
      media: 'application/json',
      format: 'json',
      async *open() {
        const sha256 = ahead === undefined ? undefined : hash.digest('hex');
        yield Buffer.from(schemaText(dump, sha256));
      },
    };
    if (ahead === undefined) return [schema];
    const lines: StreamMember = {
      kind: 'stream',
      path: fromText(`${stem}${JSONL_END}`),
      media: 'application/jsonl',
      format: 'jsonl',
      async *open() {
        begin(dump);
        const collect = createCollector();
        for await (const chunk of ahead.chunks()) {
          const isLarge = chunk.length > LARGE_BYTES;
          if (isLarge) collect(chunk.length);
          for (const part of documentLines(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length))) {
            hash.update(part);
            yield part;
            // A part was two texts before.
            if (isLarge) collect(3 * part.length);
          }
        }
        settle(dump);
      },
      tables: async () => [tableFact(dump)],
    };
    return [lines, schema];
  });
}

const LARGE_BYTES = 1024 * 1024;

export const SCHEMA_FORMAT = 'dguard-mongodb-jsonl';

/** All that is needed to make a collection again, with or without dguard. */
function schemaText({ info, dumped }: CollectionDump, sha256: string | undefined): string {
  const metadata = metadataText(info, dumped).trimEnd();
  const head = JSON.stringify({
    format: SCHEMA_FORMAT,
    version: 1,
    value_encoding:
      'canonical Extended JSON v2; a document that it cannot say exactly is {"$dguardBson": "base64 of its BSON"}',
    ...(dumped === undefined ? {} : { rows: dumped.documents, sha256 }),
  });
  return `${head.slice(0, -1)},"metadata":${metadata}}\n`;
}

function settle(dump: CollectionDump): void {
  const { documents, bytes } = dump.print;
  dump.dumped = { documents, bytes, sum: dump.print.sum() };
}

function tableFact({ info, print }: CollectionDump): TableFact {
  return { name: info.name, rows: print.documents };
}

/** Collections in the order in which the members of a backup ask for them. */
export function inMemberOrder(collections: readonly CollectionInfo[]): CollectionInfo[] {
  const path = (info: CollectionInfo) =>
    memberPath('x', `${fileStem(storedIn(info) ?? info.name)}${BSON_END}`);
  return [...collections].sort((a, b) => compareEntryPaths(path(a), path(b)));
}
