import { openChild } from '../../../child/open.ts';
import type { Choice } from '../restore/choice.ts';
import { MONEY } from '../server/connection.ts';
import type { Server } from '../server/server.ts';
import { literal, type Session } from '../server/session.ts';
import { sqlName, type TableName } from '../server/table-name.ts';
import type { Tools } from '../server/tools.ts';
import type { ScriptPart } from './script.ts';
import { readShapes, type TableShape } from './shape.ts';

interface Place {
  readonly server: Server;
  readonly tools: Tools;
  readonly stage: string;
}

/**
 * Tables that the database does not have: made as pg_dump writes them of the stage, with their indexes, owned
 * sequences, triggers, policies, grants and rows; partitioned tables that they are a part of come with them.
 */
export async function newTables(
  place: Place,
  staged: Session,
  session: Session,
  missing: readonly TableShape[],
  choice: Choice,
): Promise<{ readonly tables: readonly TableName[]; readonly parts: readonly ScriptPart[] }> {
  if (missing.length === 0) return { tables: [], parts: [] };
  const above = await readAncestors(staged, missing);
  const there = new Set((await readShapes(session, above)).map(({ name }) => name));
  const parents = (await readShapes(staged, above)).filter(({ name }) => !there.has(name));
  const tables = [...parents, ...missing];
  const names = new Set(tables.map(({ name }) => name));
  return {
    tables,
    parts: [
      () => pgDump(place, tables),
      "SET search_path TO ''",
      // The stage could not have them: the rows that they point to are only here.
      ...choice.foreignKeys.filter(({ table }) => names.has(table)).map(({ sql }) => sql),
    ],
  };
}

/** The tables that these are partitions or children of, up to the topmost. */
async function readAncestors(session: Session, tables: readonly TableShape[]): Promise<TableName[]> {
  const oids = `${literal(`{${tables.map(({ oid }) => oid).join(',')}}`)}::pg_catalog.oid[]`;
  return await session.rows<TableName>(`
    WITH RECURSIVE above AS (
      SELECT i.inhparent AS oid FROM pg_catalog.pg_inherits i WHERE i.inhrelid = ANY (${oids})
      UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i JOIN above a ON a.oid = i.inhrelid)
    SELECT n.nspname AS "schema", c.relname AS "table" FROM above a JOIN pg_catalog.pg_class c ON c.oid = a.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`);
}

async function* pgDump(
  { server, tools, stage }: Place,
  tables: readonly TableName[],
): AsyncGenerator<Uint8Array> {
  const argv = [
    ...tools.argv('pg_dump'),
    `--dbname=${await server.conninfo(stage, [MONEY])}`,
    '--no-password',
    '--format=plain',
    ...tables.map((table) => `--table=${sqlName(table)}`),
  ];
  const child = await openChild(argv, {
    env: server.env,
    signal: server.source.signal,
    redact: server.secrets,
    failure: { code: 'target_failed', operation: 'read staged tables', subject: stage },
  });
  yield* withLockTimeout(child.stdout);
}

const NO_LOCK_TIMEOUT = Buffer.from('\nSET lock_timeout = 0;\n');
const HEAD_BYTES = 64 * 1024;

/**
 * pg_dump's script turns the limit of the transaction off: what it alters of other tables would wait for ever,
 * and who wants the tables that the transaction has locked with it.
 */
async function* withLockTimeout(script: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of script) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    const at = head.indexOf(NO_LOCK_TIMEOUT);
    if (at < 0 && head.length < HEAD_BYTES) continue;
    if (at >= 0) yield head.subarray(0, at);
    yield at < 0 ? head : head.subarray(at + NO_LOCK_TIMEOUT.length - 1);
    head = undefined;
  }
  if (head !== undefined) yield head;
}
