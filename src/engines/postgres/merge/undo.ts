import { DguardError } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { analyzeTables } from '../restore/analyze.ts';
import { uniqueWord } from '../restore/place.ts';
import type { Server } from '../server/server.ts';
import { identifier, type Session } from '../server/session.ts';
import { sqlName } from '../server/table-name.ts';
import type { Tools } from '../server/tools.ts';
import { refused, refuseOtherShapes } from './fit.ts';
import { dropKeptStatements, type KeptMark, type KeptSchema, type KeptTable, keptName } from './kept.ts';
import { runScript } from './run.ts';
import { addKey, mergeScript } from './script.ts';
import { readShapes, readTouchingKeys, type TableShape } from './shape.ts';

/**
 * Puts back what a restore of chosen tables replaced, by a transaction of the same kind: what is there now is kept
 * in its turn. Returns the name of the schema that keeps it.
 */
export async function undoTables(
  server: Server,
  tools: Tools,
  session: Session,
  database: string,
  kept: KeptSchema,
  { now, warn }: { readonly now: Date; readonly warn: (warning: Warning) => void },
): Promise<string> {
  await session.run("SET search_path TO ''");
  const live = await readShapes(session, kept.tables);
  const of = (table: KeptTable) => live.find((one) => sqlName(one) === sqlName(table));
  const gone = kept.tables.filter((table) => table.as !== 'moved' && of(table) === undefined);
  if (gone.length > 0) {
    throw refused(
      `these tables are not there any more: ${gone.map(sqlName).join(', ')}`,
      database,
      `their old rows are in the schema ${kept.name}: take them from there`,
    );
  }
  const back = kept.tables.filter(({ as }) => as === 'rows');
  const copies = await readShapes(
    session,
    back.map(({ copy }) => ({ schema: kept.name, table: copy })),
  );
  const pairs = back.map((table) => ({
    live: of(table)!,
    copy: copies.find((one) => one.table === table.copy)!,
  }));
  if (pairs.some(({ copy }) => copy === undefined)) {
    throw new DguardError('nothing_there', `the schema ${kept.name} has lost tables of its own`, {
      operation: 'undo',
      subject: database,
    });
  }
  const replaced = pairs.map((pair) => pair.live);
  const leaving = kept.tables.filter(({ as }) => as === 'new').map((table) => of(table)!);
  const keys = await readTouchingKeys(session, [...replaced, ...leaving]);
  const away = keys.filter(({ oid }) => leaving.some((table) => table.oid === oid));
  const staying = keys.filter(
    ({ oid, target }) =>
      !leaving.some((table) => table.oid === oid) &&
      replaced.some((table) => table.oid === oid || table.oid === target),
  );
  refuseOtherShapes(pairs.map(asBefore), replaced, keys, database);
  const word = uniqueWord();
  const keep = { name: `dg_undo_${word}`, mark: markOf(kept, database, now, away.flatMap(addKey)) };
  const moved = kept.tables.filter(({ as }) => as === 'moved');
  const parts = mergeScript({
    lockTimeoutMs: server.lockTimeoutMs,
    keep,
    replacements: pairs.map(({ live: table, copy }) => ({
      live: table,
      columns: table.columns.filter(({ generated }) => !generated).map(({ name }) => name),
      rows: { from: 'table', sql: sqlName(copy) },
    })),
    sequences: [],
    sums: [],
    keys: staying,
    keysAway: away,
    movedAway: leaving.map(sqlName),
    after: [
      ...moved.map(
        ({ schema, copy }) =>
          `ALTER TABLE ${identifier(kept.name)}.${identifier(copy)} SET SCHEMA ${identifier(schema)}`,
      ),
      ...(await dropKeptStatements(
        session,
        kept.name,
        moved.map(({ copy }) => copy),
      )),
      ...(kept.keys ?? []),
    ],
  });
  await runScript(parts, { server, tools, database, makes: keep.name });
  try {
    await analyzeTables(session, replaced, { subject: database, warn });
  } catch (error) {
    const message = `it is taken back, and what follows was cut short; what was there until now is kept: ${keptName(database, keep.name)}`;
    warn({ message, subject: database, partial: false });
    throw error;
  }
  return keep.name;
}

/** A copy of rows has the columns of the table that it is of, but nothing is generated in it. */
function asBefore({ live, copy }: { readonly live: TableShape; readonly copy: TableShape }): TableShape {
  const generated = (name: string) => live.columns.some((column) => column.name === name && column.generated);
  return {
    ...live,
    columns: copy.columns.map((column) => ({ ...column, generated: generated(column.name) })),
  };
}

function markOf(
  { backupId, tables }: KeptSchema,
  target: string,
  now: Date,
  keys: readonly string[],
): KeptMark {
  const turned = tables.map((table, at): KeptTable => {
    const { schema, table: name } = table;
    if (table.as === 'new') return { schema, table: name, as: 'moved', copy: name };
    if (table.as === 'moved') return { schema, table: name, as: 'new', copy: '' };
    return { schema, table: name, as: 'rows', copy: `t${at + 1}` };
  });
  return { role: 'undo', target, backupId, createdAt: now.toISOString(), tables: turned, keys };
}
