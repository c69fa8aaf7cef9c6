import { openChild } from '../../../child/open.ts';
import { DguardError } from '../../../errors.ts';
import { readDocument as readAnyDocument } from '../../jsonl/document.ts';
import type { BackupContent } from '../../types.ts';
import type { Archive } from '../dump/content.ts';
import { fillViews, type TellUnfilled } from '../restore/fill-views.ts';
import { type LoadRequest, loadArchive } from '../restore/load.ts';
import { loadFailure } from '../restore/load-failures.ts';
import { listTables, placesOfRows } from '../server/catalog.ts';
import { SCRIPT_FLAGS, SCRIPT_HEAD } from '../server/connection.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import { tableName } from '../server/table-name.ts';
import { importStatement, listColumns } from './jsonl-columns.ts';
import { DOCUMENT_FORMAT, RAW_LINES, type SchemaDocument } from './jsonl-dump.ts';

/** Reads `schema.json`; throws `corrupt` or `too_new`. */
export function readDocument(content: BackupContent): Promise<SchemaDocument> {
  return readAnyDocument<SchemaDocument>(content, {
    format: DOCUMENT_FORMAT,
    version: 1,
    of: 'a PostgreSQL export',
    isComplete: ({ tables, sequences, filled_views }) =>
      [tables, sequences, filled_views].every(Array.isArray),
  });
}

/**
 * Loads a JSONL export into an empty database: definitions, rows of the chosen tables, then indexes,
 * constraints and triggers, sequences and materialised views. How a column is read follows from the
 * definitions just made, not from what a backup says of it.
 */
export async function loadExport(
  content: BackupContent,
  archive: Archive,
  session: Session,
  request: LoadRequest & { readonly tables: ReadonlySet<string>; readonly onUnfilled: TellUnfilled },
): Promise<void> {
  const document = await readDocument(content);
  await loadArchive(content, archive, {
    ...request,
    flags: [...request.flags, '--section=pre-data', '--section=data'],
  });
  await session.run("SET search_path TO ''");
  const live = await listTables(session);
  const columns = await listColumns(session, live);
  const placeOf = placesOfRows(live);
  for (const { schema, table, member } of document.tables) {
    const info = live.find((one) => one.schema === schema && one.table === table);
    const name = tableName(schema, table);
    if (!request.tables.has(name)) continue;
    const entry = await content.entry(member);
    if (info === undefined || entry === undefined) {
      throw new DguardError('corrupt', `${name} is in schema.json, but not in the backup`, {
        operation: 'load',
        subject: request.database,
      });
    }
    const statement = importStatement(placeOf(info), columns.get(info.oid) ?? [], 'dguard_rows');
    await insertRows(request, statement, () => content.read(entry)).catch((error: unknown) => {
      throw loadFailure(error, request.loader, name);
    });
  }
  await loadArchive(content, archive, { ...request, flags: [...request.flags, '--section=post-data'] });
  for (const { schema, name, last_value, is_called } of document.sequences) {
    const sequence = literal(`${identifier(schema)}.${identifier(name)}`);
    await session.rows(
      `SELECT pg_catalog.setval(${sequence}::pg_catalog.regclass, ${BigInt(last_value)}, ${is_called === true}) AS v`,
    );
  }
  const views = document.filled_views.map(({ schema, name }) => ({ schema, table: name }));
  await fillViews(session, views, request.onUnfilled);
}

/** Lines of JSON through a temporary table of one session into their own. */
async function insertRows(
  { server, tools, database, settings, read }: LoadRequest,
  statement: string,
  rows: () => AsyncIterable<Uint8Array>,
): Promise<void> {
  async function* script(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(
      `${SCRIPT_HEAD}SET search_path TO '';\nCREATE TEMPORARY TABLE dguard_rows (j pg_catalog.json);
COPY pg_temp.dguard_rows FROM STDIN WITH ${RAW_LINES};\n`,
    );
    for await (const chunk of rows()) {
      read.onBytes(chunk.length);
      yield chunk;
    }
    yield Buffer.from(`\\.\n${statement};\n`);
  }
  const argv = [
    ...tools.argv('psql'),
    `--dbname=${await server.conninfo(database, settings)}`,
    ...SCRIPT_FLAGS,
  ];
  const child = await openChild(argv, {
    env: server.env,
    signal: read.signal,
    redact: server.secrets,
    stdin: script(),
    failure: {
      code: 'target_failed',
      operation: 'load',
      subject: database,
      hint: 'the target was not touched; solve what psql names, then restore again',
    },
  });
  for await (const _ of child.stdout);
  const { stdinCutShort } = await child.done;
  if (stdinCutShort) {
    throw new DguardError('target_failed', 'psql ended before it had read all rows', {
      operation: 'load',
      subject: database,
    });
  }
}
