import { createHash } from 'node:crypto';
import { DguardError } from '../../../errors.ts';
import { readDocument as readAnyDocument } from '../../jsonl/document.ts';
import { textLines } from '../../jsonl/lines.ts';
import type { BackupContent, TableFact } from '../../types.ts';
import { DOCUMENT_FORMAT, type SchemaDocument, type TableDocument } from '../dump/jsonl-dump.ts';
import { tableMatcher } from '../select.ts';
import { countRows } from '../server/catalog.ts';
import { importExpression, storedColumns } from '../server/columns.ts';
import { createTableStatement } from '../server/definitions.ts';
import type { Session } from '../server/session.ts';
import { identifier, literal, qualified } from '../server/sql.ts';

/** Rows are sent as one JSON text of about this size. */
const BATCH_CHARS = 4 * 1024 * 1024;
const BATCH_ROWS = 10_000;

/** Reads `schema.json`. Throws `corrupt` or `too_new`. */
export function readDocument(content: BackupContent): Promise<SchemaDocument> {
  return readAnyDocument<SchemaDocument>(content, {
    format: DOCUMENT_FORMAT,
    version: 1,
    of: 'an SQL Server export',
    isComplete: ({ tables, code }) => Array.isArray(tables) && Array.isArray(code),
  });
}

/** Makes the tables in the empty database that the session is in, fills them, then keys, indexes and code. */
export async function loadDocument(
  session: Session,
  content: BackupContent,
  document: SchemaDocument,
  only: readonly string[],
  onBytes: (count: number) => void,
): Promise<readonly TableFact[]> {
  const chosen = only.length === 0 ? document.tables : document.tables.filter(tableMatcher(only));
  if (chosen.length === 0) {
    throw new DguardError('nothing_there', `no table of the backup matches ${only.join(', ')}`, {
      operation: 'restore',
      hint: `tables in it: ${document.tables
        .slice(0, 20)
        .map(({ schema, table }) => `${schema}.${table}`)
        .join(', ')}`,
    });
  }
  for (const schema of new Set(chosen.map((table) => table.schema))) {
    const make = literal(`CREATE SCHEMA ${identifier(schema)}`);
    await session.run(`IF SCHEMA_ID(${literal(schema)}) IS NULL EXEC(${make})`);
  }
  for (const { schema, table, columns } of chosen) {
    await session.run(createTableStatement(schema, table, columns));
  }
  const facts: TableFact[] = [];
  for (const table of chosen) {
    if (table.member !== undefined) await loadRows(session, content, table, onBytes);
    const name = `${table.schema}.${table.table}`;
    const rows = await countRows(session, { ...table, name, rows: 0 });
    if (rows !== table.rows) {
      throw new DguardError('corrupt', `${name}: ${rows} rows were loaded, ${table.rows} were recorded`, {
        operation: 'compare',
        subject: name,
      });
    }
    facts.push({ name, rows });
  }
  for (const { keys } of chosen) for (const statement of keys) await session.run(statement);
  const there = new Set(chosen.map(({ schema, table }) => qualified(schema, table)));
  for (const statement of chosen.flatMap(({ foreignKeys }) => foreignKeys)) {
    const to = / REFERENCES (\[(?:[^\]]|\]\])*\]\.\[(?:[^\]]|\]\])*\])/.exec(statement)?.[1];
    if (to === undefined || there.has(to)) await session.run(statement);
  }
  if (only.length === 0) await createCode(session, document.code);
  return facts;
}

async function loadRows(
  session: Session,
  content: BackupContent,
  table: TableDocument,
  onBytes: (count: number) => void,
): Promise<void> {
  const entry = await content.entry(table.member!);
  if (entry === undefined) {
    throw new DguardError('corrupt', `the backup has no ${table.member}`, { operation: 'read backup' });
  }
  const statement = insertStatement(table);
  const hash = createHash('sha256');
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of content.read(entry!)) {
      hash.update(chunk);
      onBytes(chunk.length);
      yield chunk;
    }
  }
  let batch: string[] = [];
  let chars = 0;
  const send = async () => {
    if (batch.length > 0) await session.runWith(statement, `[${batch.join(',')}]`);
    batch = [];
    chars = 0;
  };
  for await (const line of textLines(counted())) {
    batch.push(line);
    chars += line.length;
    if (chars >= BATCH_CHARS || batch.length >= BATCH_ROWS) await send();
  }
  await send();
  if (hash.digest('hex') !== table.sha256) {
    throw new DguardError('corrupt', `${table.member} is not what schema.json says`, {
      operation: 'read backup',
    });
  }
}

/** Rows out of a JSON text, by the names of the columns. Every value comes as its text, and is converted back. */
export function insertStatement({
  schema,
  table,
  columns,
}: Pick<TableDocument, 'schema' | 'table' | 'columns'>): string {
  const on = qualified(schema, table);
  const stored = storedColumns(columns);
  if (stored.length === 0) {
    return `DECLARE @n int = (SELECT COUNT(*) FROM OPENJSON(@p)); WHILE @n > 0 BEGIN INSERT INTO ${on} DEFAULT VALUES; SET @n -= 1 END`;
  }
  const names = stored.map(({ name }) => identifier(name)).join(', ');
  const values = stored.map((column, at) => importExpression(column, `j.[c${at}]`)).join(', ');
  const shape = stored
    .map(({ name }, at) => `[c${at}] nvarchar(max) ${literal(`$.${jsonPathKey(name)}`)}`)
    .join(', ');
  const insert = `INSERT INTO ${on} (${names}) SELECT ${values} FROM OPENJSON(@p) WITH (${shape}) AS j`;
  if (!stored.some(({ identity }) => identity !== undefined)) return insert;
  return `SET IDENTITY_INSERT ${on} ON; ${insert}; SET IDENTITY_INSERT ${on} OFF`;
}

/** A key of a JSON path, in quotes, whatever is in it. */
function jsonPathKey(name: string): string {
  return JSON.stringify(name);
}

/** What one waits for another for is tried again until nothing more can be made. */
async function createCode(session: Session, code: SchemaDocument['code']): Promise<void> {
  let waiting = code.filter(({ sql }) => sql !== null);
  for (;;) {
    const still: typeof waiting = [];
    let failure: unknown;
    for (const object of waiting) {
      const setting = (on: boolean) => (on ? 'ON' : 'OFF');
      try {
        // Each alone in its batch, under the settings that it was made with: they become a part of it.
        await session.run(`SET QUOTED_IDENTIFIER ${setting(object.quoted_identifier)}`);
        await session.run(`SET ANSI_NULLS ${setting(object.ansi_nulls)}`);
        await session.run(object.sql!);
      } catch (error) {
        failure = error;
        still.push(object);
      } finally {
        await session.run('SET QUOTED_IDENTIFIER ON; SET ANSI_NULLS ON');
      }
    }
    if (still.length === 0) return;
    if (still.length === waiting.length) {
      const named = still.slice(0, 5).map(({ schema, name }) => `${schema}.${name}`);
      throw new DguardError(
        'target_failed',
        `these could not be made again: ${named.join(', ')}: ${failure instanceof Error ? failure.message : failure}`,
        {
          operation: 'restore',
          hint: 'restore the tables alone with --only into another database, or use a native backup',
          cause: failure,
        },
      );
    }
    waiting = still;
  }
}
