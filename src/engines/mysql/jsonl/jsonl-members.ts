import { constants } from 'node:buffer';
import { createHash } from 'node:crypto';
import { DguardError, errnoOf, throwIfAborted } from '../../../errors.ts';
import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import { memberName } from '../../jsonl/member-name.ts';
import type { StreamMember } from '../../member.ts';
import type { TableFact } from '../../types.ts';
import { planChunks } from '../dump/chunks.ts';
import { startDefinitions, startTriggers } from '../dump/definitions.ts';
import type { RunningDump } from '../dump/dump-tool.ts';
import { type LargeRows, watchLargeRows } from '../dump/large-rows.ts';
import type { ReadableTable } from '../dump/moment.ts';
import { readInOrder } from '../dump/read-in-order.ts';
import type { Snapshot } from '../dump/snapshot.ts';
import { type BufferPool, bufferPool } from '../rows/buffers.ts';
import { hasOwnRows, type TableInfo } from '../server/catalog.ts';
import type { CodeName } from '../server/code.ts';
import { type ColumnInfo, rowsQuery } from '../server/columns.ts';
import { serverError } from '../server/failures.ts';
import {
  columnDocument,
  columnForm,
  DOCUMENT_FORMAT,
  JSONL,
  SCHEMA_MEMBER,
  type SchemaDocument,
  TRIGGERS_MEMBER,
  VALUE_ENCODING,
} from './jsonl-document.ts';
import { JSONL_BUFFER_BYTES, jsonlEncoder } from './jsonl-encoder.ts';
import { readKeys } from './jsonl-keys.ts';

const MAX_PART_BYTES = 4 * 1024 * 1024;

interface TableExport extends ReadableTable {
  readonly member: string;
  /** Of all columns, also those that are not in the rows. */
  readonly all: readonly ColumnInfo[];
  result?: { readonly rows: number; readonly sha256: string };
}

/**
 * One JSONL member per table with rows of its own, the definitions as the dump tool has them, and `schema.json` that describes them, in
 * the order of their paths. Tables that come after `schema.json` are read once more for their hash: the snapshot
 * stands still.
 */
export function jsonlMembers(
  snapshot: Snapshot,
  code: readonly CodeName[],
): { readonly members: readonly StreamMember[]; count(): Promise<readonly TableFact[]> } {
  const { server, subject, info, columns } = snapshot;
  const pool = bufferPool(JSONL_BUFFER_BYTES, 6 * (snapshot.readers.length + 2));
  const large = watchLargeRows(info.maxPacketBytes, server.source, subject);
  const taken = new Set<string>();
  const exports = snapshot.kept.filter(hasOwnRows).map((table): TableExport => {
    const all = columns.get(table.name) ?? [];
    const own = all.filter(({ generated }) => !generated);
    return { table, columns: own, all, member: memberName(table.name.toLowerCase(), taken) };
  });
  const sql = (path: string, start: () => Promise<RunningDump>): StreamMember => ({
    kind: 'stream',
    path,
    media: 'application/sql',
    format: 'sql',
    async *open() {
      yield* (await start()).read();
    },
  });
  const members = exports.map((exported): StreamMember => {
    return {
      ...JSONL,
      path: exported.member,
      open: () => exportRows(snapshot, exported, pool, large),
      tables: async () => [{ name: exported.table.name, rows: exported.result?.rows ?? 0 }],
    };
  });
  members.push(sql(SCHEMA_MEMBER, () => startDefinitions(snapshot)));
  members.push(sql(TRIGGERS_MEMBER, () => startTriggers(snapshot, code)));
  members.push({
    kind: 'stream',
    path: DOCUMENT_MEMBER,
    media: 'application/json',
    format: 'json',
    async *open() {
      for (const exported of exports) {
        if (exported.result === undefined) for await (const _ of exportRows(snapshot, exported, pool, large));
      }
      large.warn();
      yield Buffer.from(`${JSON.stringify(await describe(snapshot, exports), null, 2)}\n`);
    },
  });
  return {
    members: members.sort((a, b) => (a.path < b.path ? -1 : 1)),
    count: async () => exports.map(({ table, result }) => ({ name: table.name, rows: result?.rows ?? 0 })),
  };
}

async function* exportRows(
  snapshot: Snapshot,
  exported: TableExport,
  pool: BufferPool,
  large: LargeRows,
): AsyncGenerator<Uint8Array> {
  const { server, session, schema, readers, subject } = snapshot;
  const digest = createHash('sha256');
  // As statements, Base64 becomes hexadecimal digits.
  const growth = exported.columns.some((column) => columnForm(column) === 'base64') ? 1.5 : 1;
  let rows = 0;
  let longest = 0;
  try {
    const parts = readInOrder(
      readers,
      planChunks(session, schema, [exported]),
      (reader, part) =>
        reader.stream(
          rowsQuery(schema, part.table.name, part.columns, part),
          (emit) => {
            const encoder = jsonlEncoder(part.columns, pool, (lines) => {
              longest = Math.max(longest, lines.length);
              large.saw(part.table.name, growth * lines.length);
              emit(lines);
            });
            return {
              row: encoder.row,
              end() {
                encoder.end();
                rows += encoder.rows();
              },
            };
          },
          { maxBytes: MAX_PART_BYTES, pool },
        ),
      ({ table }) => snapshot.same.check(table),
    );
    for await (const chunk of parts) {
      if (longest > constants.MAX_STRING_LENGTH) throw tooLong(exported.table, subject);
      digest.update(chunk);
      yield chunk;
    }
  } catch (error) {
    throwIfAborted(server.source.signal);
    if (errnoOf(error) === 'ERR_STRING_TOO_LONG') throw tooLong(exported.table, subject);
    throw serverError(error, 'source_failed', 'dump', subject);
  }
  const result = { rows, sha256: digest.digest('hex') };
  // Described already: only what the description says can be restored.
  if (exported.result !== undefined && exported.result.sha256 !== result.sha256)
    throw readTwice(exported.table, subject);
  exported.result = result;
}

/** What nobody could read back as one line. */
function tooLong({ name }: TableInfo, subject: string): DguardError {
  const most = Math.floor(constants.MAX_STRING_LENGTH / 1024 ** 2);
  return new DguardError(
    'source_failed',
    `a row of ${name} is a line of over ${most} MiB, which could not be restored`,
    {
      operation: 'dump',
      subject,
      hint: 'back it up with format: native, or leave the table out: exclude_tables',
    },
  );
}

function readTwice({ name, transactional }: TableInfo, subject: string): DguardError {
  return new DguardError('source_failed', `${name} was changed while it was dumped`, {
    operation: 'dump',
    subject,
    hint: transactional
      ? 'run the backup again; not while migrations run'
      : 'it has no transactions: ALTER TABLE … ENGINE=InnoDB, set lock_tables: true, or format: native',
  });
}

async function describe(
  { side, schema, info }: Snapshot,
  exports: readonly TableExport[],
): Promise<SchemaDocument> {
  const keys = await readKeys(side, schema);
  return {
    format: DOCUMENT_FORMAT,
    version: 1,
    server_version: info.versionText,
    value_encoding: VALUE_ENCODING,
    tables: exports.map(({ table, member, all, result }) => ({
      table: table.name,
      member,
      rows: result?.rows ?? 0,
      sha256: result?.sha256 ?? '',
      columns: all.map(columnDocument),
      indexes: keys.indexes(table.name),
      foreign_keys: keys.foreignKeys(table.name),
    })),
  };
}
