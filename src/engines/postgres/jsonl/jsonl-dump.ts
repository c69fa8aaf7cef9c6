import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DguardError } from '../../../errors.ts';
import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import { memberName } from '../../jsonl/member-name.ts';
import type { Member, StreamMember } from '../../member.ts';
import type { TableFact } from '../../types.ts';
import { globalsMember } from '../dump/members.ts';
import { dumpArguments, explained, finishTool, startTool, TOO_LARGE } from '../dump/run-tool.ts';
import { refuseRenamed } from '../dump/same-objects.ts';
import type { Snapshot } from '../dump/snapshot.ts';
import { countLargeObjects, OWN_SCHEMA, type TableInfo } from '../server/catalog.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import { type ColumnDocument, exportQuery, listColumns, VALUE_ENCODING } from './jsonl-columns.ts';
import { openRowSession, type RowSession } from './row-session.ts';

/** The definitions of all objects, for pg_restore. */
export const DEFINITIONS_MEMBER = 'schema.dump';
export const DOCUMENT_FORMAT = 'dguard-postgres-jsonl';

/** `schema.json` of a JSONL export: what its files are, for any reader. */
export interface SchemaDocument {
  readonly format: typeof DOCUMENT_FORMAT;
  readonly version: 1;
  readonly server_version: string;
  readonly value_encoding: Readonly<Record<string, string>>;
  readonly tables: readonly {
    readonly schema: string;
    readonly table: string;
    readonly member: string;
    readonly rows: number;
    /** SHA-256 of the member's bytes. */
    readonly sha256: string;
    readonly columns: readonly ColumnDocument[];
    readonly indexes: readonly string[];
    readonly constraints: readonly string[];
  }[];
  readonly sequences: readonly SequenceState[];
  /** Materialised views that had content, in the order in which they can be filled. */
  readonly filled_views: readonly { readonly schema: string; readonly name: string }[];
}

export interface SequenceState {
  readonly schema: string;
  readonly name: string;
  readonly last_value: string;
  readonly is_called: boolean;
}

interface TableExport {
  readonly info: TableInfo;
  readonly member: string;
  readonly columns: readonly ColumnDocument[];
  result?: { readonly rows: number; readonly sha256: string };
}

/** What keeps a line of JSON as it is in COPY's CSV: JSON has no control characters. */
export const RAW_LINES = "(FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')";

const READ_BYTES = 1024 * 1024;

export interface RowsAsJson {
  readonly members: readonly Member[];
  /** To be called once all members were read. */
  count(): Promise<readonly TableFact[]>;
  /** When what works for it is gone, after the snapshot's `signal`. */
  ended(): Promise<void>;
}

/**
 * One JSONL member per table, the definitions as pg_dump has them, and `schema.json` that describes them, in
 * the order of their paths. Tables that come after `schema.json` are read once more for their hash: the
 * snapshot stands still.
 */
export async function jsonlMembers(
  snapshot: Snapshot,
  subject: string,
  serverVersion: string,
): Promise<RowsAsJson> {
  const left = new Set(snapshot.withoutRows.map(({ oid }) => oid));
  const tables = snapshot.tables.filter(
    (table) => !table.partitioned && !left.has(table.oid) && !(snapshot.standby && table.unlogged),
  );
  const columns = await listColumns(snapshot.session, tables);
  const objects = await countLargeObjects(snapshot.session);
  if (objects > 0) {
    const message = `${objects} large objects are not in a JSONL export: use format native, or bytea columns`;
    snapshot.server.source.warn({ message, subject, partial: true });
  }
  const staging = await mkdtemp(join(snapshot.server.source.tempDir || tmpdir(), 'pg-definitions-'));
  // At once: the longer either waits for its locks, the likelier somebody comes between who waits for ours. And not at
  // once with the other: a third lock on each of thousands of tables is more than a server has room for.
  const defined = stageDefinitions(snapshot, join(staging, 'definitions'), subject);
  const opening = defined.then(() => openRowSession(snapshot, tables, subject));
  opening.catch(() => {});
  const taken = new Set<string>();
  const exports = tables.map(
    (info): TableExport => ({
      info,
      member: memberName(info.name, taken, 100),
      columns: columns.get(info.oid) ?? [],
    }),
  );
  const members = exports.map((exported): StreamMember => {
    const { info, member } = exported;
    return {
      kind: 'stream',
      path: member,
      media: 'application/jsonl',
      format: 'jsonl',
      open: () => exportRows(opening, exported),
      tables: async () => [{ name: info.name, rows: exported.result?.rows ?? 0 }],
    };
  });
  members.push({
    kind: 'stream',
    path: DEFINITIONS_MEMBER,
    media: 'application/octet-stream',
    format: 'pg_dump-custom',
    async *open() {
      yield* createReadStream(await defined, { highWaterMark: READ_BYTES });
    },
  });
  members.push({
    kind: 'stream',
    path: DOCUMENT_MEMBER,
    media: 'application/json',
    format: 'json',
    async *open() {
      for (const exported of exports) {
        if (exported.result === undefined) for await (const _ of exportRows(opening, exported));
      }
      yield Buffer.from(`${JSON.stringify(await describe(snapshot, exports, serverVersion), null, 2)}\n`);
    },
  });
  return {
    members: [globalsMember(snapshot, subject), ...members].sort((a, b) => (a.path < b.path ? -1 : 1)),
    async count() {
      await (await opening).end();
      return exports.map(({ info, result }) => ({ name: info.name, rows: result?.rows ?? 0 }));
    },
    async ended() {
      await opening.catch(() => {});
      await rm(staging, { recursive: true, force: true });
    },
  };
}

async function* exportRows(opening: Promise<RowSession>, exported: TableExport): AsyncGenerator<Uint8Array> {
  const session = await opening;
  const copy = `COPY (${exportQuery(exported.info, exported.columns)}) TO STDOUT WITH ${RAW_LINES}`;
  const digest = createHash('sha256');
  let rows = 0;
  try {
    for await (const chunk of session.copy(copy)) {
      digest.update(chunk);
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) rows++;
      yield chunk;
    }
  } catch (error) {
    throw rowsFailure(error, exported.info.name);
  }
  exported.result = { rows, sha256: digest.digest('hex') };
}

/** psql names no table, and what stands in the way of JSON alone has another format as its way out. */
function rowsFailure(error: unknown, table: string): unknown {
  if (!(error instanceof DguardError) || error.code !== 'source_failed') return error;
  const hint = hintOfRows(error.message) ?? error.hint;
  return new DguardError(error.code, `rows of ${table}: ${error.message}`, {
    operation: 'dump',
    ...(error.subject === undefined ? {} : { subject: error.subject }),
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}

function hintOfRows(message: string): string | undefined {
  if (TOO_LARGE.test(message)) {
    return 'the server writes no row of over 1 GB as JSON, where bytea takes two characters a byte and each " or \\ two: use format native, which takes somewhat larger ones, or leave the table out (exclude_tables)';
  }
  if (/invalid byte sequence for encoding|has no equivalent in encoding/.test(message))
    return 'JSON is UTF-8, which these bytes are not: use format native, which keeps them as they are';
  return undefined;
}

/** Writes the definitions, as pg_dump has them, into a file; resolves to its path. */
async function stageDefinitions(snapshot: Snapshot, path: string, subject: string): Promise<string> {
  const argv = [...(await dumpArguments(snapshot)), '--format=custom', '--schema-only'];
  const child = await startTool(snapshot, argv, subject);
  const file = await open(path, 'wx', 0o600);
  let sizeBytes = 0;
  try {
    for await (const chunk of child.stdout) {
      sizeBytes += chunk.length;
      await file.writeFile(chunk);
    }
  } catch (error) {
    throw explained(error, subject);
  } finally {
    await file.close();
  }
  if (sizeBytes === 0)
    throw new DguardError('source_failed', 'pg_dump wrote nothing', { operation: 'dump', subject });
  await finishTool(snapshot, child, subject);
  await refuseRenamed(snapshot.session, subject);
  return path;
}

async function describe(
  { session }: Snapshot,
  exports: readonly TableExport[],
  serverVersion: string,
): Promise<SchemaDocument> {
  const oids = `${literal(`{${exports.map(({ info }) => info.oid).join(',')}}`)}::pg_catalog.oid[]`;
  const parts = await session.rows<{ oid: string; kind: string; text: string }>(`
    SELECT x.indrelid::pg_catalog.text AS oid, 'index' AS kind, pg_catalog.pg_get_indexdef(x.indexrelid) AS text
      FROM pg_catalog.pg_index x WHERE x.indrelid = ANY (${oids})
    UNION ALL SELECT c.conrelid::pg_catalog.text, 'constraint', c.conname || ' ' || pg_catalog.pg_get_constraintdef(c.oid)
      FROM pg_catalog.pg_constraint c WHERE c.conrelid = ANY (${oids}) ORDER BY 1, 2, 3`);
  const sequences = await readSequences(session);
  const views = await session.rows<{ schema: string; name: string }>(`
    SELECT n.nspname AS "schema", c.relname AS name FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'm' AND c.relispopulated AND ${OWN_SCHEMA} ORDER BY c.oid`);
  const textsOf = (oid: string, kind: string) =>
    parts.filter((part) => part.oid === oid && part.kind === kind).map(({ text }) => text);
  return {
    format: DOCUMENT_FORMAT,
    version: 1,
    server_version: serverVersion,
    value_encoding: VALUE_ENCODING,
    tables: exports.map(({ info, member, columns, result }) => ({
      schema: info.schema,
      table: info.table,
      member,
      rows: result?.rows ?? 0,
      sha256: result?.sha256 ?? '',
      columns,
      indexes: textsOf(info.oid, 'index'),
      constraints: textsOf(info.oid, 'constraint'),
    })),
    sequences,
    filled_views: views,
  };
}

/** How many sequences are read by one statement. */
const SEQUENCES_AT_ONCE = 50;

/**
 * Where each sequence stands, as it says itself: of one that was set and not used since (`RESTART WITH`), pg_sequences
 * tells nothing.
 */
async function readSequences(session: Session): Promise<SequenceState[]> {
  const all = await session.rows<Pick<SequenceState, 'schema' | 'name'>>(`
    SELECT n.nspname AS "schema", c.relname AS name FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND ${OWN_SCHEMA} ORDER BY 1, 2`);
  const states: SequenceState[] = [];
  for (let at = 0; at < all.length; at += SEQUENCES_AT_ONCE) {
    const batch = all.slice(at, at + SEQUENCES_AT_ONCE);
    const parts = batch.map(
      ({ schema, name }, index) =>
        `SELECT ${index} AS i, last_value::pg_catalog.text, is_called FROM ${identifier(schema)}.${identifier(name)}`,
    );
    const rows = await session.rows<Pick<SequenceState, 'last_value' | 'is_called'> & { i: number }>(
      parts.join(' UNION ALL '),
    );
    states.push(...rows.map(({ i, last_value, is_called }) => ({ ...batch[i]!, last_value, is_called })));
  }
  return states;
}
