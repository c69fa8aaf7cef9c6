import type { RestoreOutcome, TableFact } from '../../types.ts';
import { analyzeTables } from '../restore/analyze.ts';
import type { Choice } from '../restore/choice.ts';
import { createBeside, uniqueWord } from '../restore/place.ts';
import { choose, compare, dropQuietly, load, tellReplaced, tellWhatIsOff } from '../restore/restore-steps.ts';
import type { Work } from '../restore/restore-work.ts';
import { listTables } from '../server/catalog.ts';
import { databaseSize } from '../server/database.ts';
import { identifier, type Session } from '../server/session.ts';
import { sqlName, type TableName } from '../server/table-name.ts';
import { refuseOtherShapes } from './fit.ts';
import { placesAbove } from './hashed.ts';
import { type KeptMark, keptName } from './kept.ts';
import { lostWith } from './lost.ts';
import { newTables } from './new-tables.ts';
import { copyOut, runScript } from './run.ts';
import { mergeScript } from './script.ts';
import { stagedPositions } from './sequences.ts';
import { readersOf, readShapes, readTouchingKeys, type TableShape } from './shape.ts';

/**
 * Restores chosen tables into a database that has others: all definitions and the chosen rows into a marked
 * database beside it, compared there with what was recorded, then their rows into the place of those that are
 * there, in one transaction. What they replace is kept in a marked schema of the database.
 */
export async function restoreTables(work: Work): Promise<RestoreOutcome> {
  const { request, admin, target, facts, server } = work;
  // Definitions are what the stage is for: what reacts to them stays out of it.
  const { eventTriggers: _, ...choice } = await choose(work);
  const createdAt = request.now().toISOString();
  const mark = { backupId: request.backupId, createdAt };
  const stage = await createBeside(work, facts.database, { ...mark, role: 'new' });
  try {
    const staged = await server.open(stage);
    const session = await server.open(target);
    let replaced: string | undefined;
    try {
      await load(work, stage, choice, {
        flags: ['--no-subscriptions', '--no-publications'],
        session: staged,
        // They go with the stage.
        tellUnfilled: () => {},
      });
      const tables = await compare(work, staged, choice, 'rows');
      await session.run("SET search_path TO ''");
      const undo = await swapTables(work, { stage, staged, session, tables, choice }, mark, (kept) => {
        replaced = kept;
      });
      tellWhatIsOff(work, { ...choice, foreignKeys: [] });
      return {
        target,
        sizeBytes: (await databaseSize(admin, target)) ?? work.archive.sizeBytes,
        tables,
        undo,
      };
    } catch (error) {
      if (replaced !== undefined) tellReplaced(work, replaced);
      throw error;
    } finally {
      await session.close();
      await staged.close();
    }
  } finally {
    await dropQuietly(work, stage);
  }
}

interface Stage {
  readonly stage: string;
  readonly staged: Session;
  readonly session: Session;
  readonly tables: readonly TableFact[];
  readonly choice: Choice;
}

async function swapTables(
  work: Work,
  { stage, staged, session, tables, choice }: Stage,
  mark: { readonly backupId: string; readonly createdAt: string },
  onCommitted: (kept: string) => void,
): Promise<string> {
  const { server, tools, target, request } = work;
  const names = await namesOf(staged, tables);
  const shapes = await readShapes(staged, names);
  const live = await readShapes(session, names);
  const keys = await readTouchingKeys(session, live);
  refuseOtherShapes(shapes, live, keys, target);
  const places = await placesAbove(session, live, tables, target);
  const missing = shapes.filter(({ name }) => !live.some((one) => one.name === name));
  const added = await newTables({ server, tools, stage }, staged, session, missing, choice);
  const keptMark: KeptMark = {
    ...mark,
    role: 'undo',
    target,
    tables: [
      ...live.map(({ schema, table }, at) => ({ schema, table, as: 'rows' as const, copy: `t${at + 1}` })),
      ...added.tables.map(({ schema, table }) => ({ schema, table, as: 'new' as const, copy: '' })),
    ],
  };
  const keep = { name: `dg_undo_${uniqueWord()}`, mark: keptMark };
  const counts = new Map(tables.map(({ name, rows }) => [name, rows]));
  const parts = mergeScript({
    lockTimeoutMs: server.lockTimeoutMs,
    keep,
    replacements: live.map((table) => {
      const before = shapes.find(({ name }) => name === table.name)!;
      const into = places.get(table.name)?.table;
      const count = into === undefined ? counts.get(table.name) : undefined;
      return {
        live: table,
        ...(into === undefined ? {} : { into }),
        columns: writtenColumns(before),
        rows: { from: 'stage', open: () => copyOut({ server, tools, database: stage }, stagedQuery(before)) },
        ...(count === undefined ? {} : { count }),
      };
    }),
    sequences: await stagedPositions({ staged, session }, shapes, live, {
      warn: request.warn,
      subject: target,
    }),
    sums: [...new Set(places.values())],
    keys,
    keysAway: [],
    movedAway: [],
    after: added.parts,
  });
  await runScript(parts, { server, tools, database: target, makes: keep.name });
  onCommitted(keptName(target, keep.name));
  await analyzeTables(session, names, { subject: target, warn: request.warn });
  const readers = await readersOf(session, live, ['m']);
  if (readers.length > 0) {
    const message = `materialized views that read from them have what they had: REFRESH MATERIALIZED VIEW ${readers.join(', ')}`;
    request.warn({ message, subject: target, partial: false });
  }
  const lost = await lostWith(staged, session, missing);
  if (lost.length > 0) {
    const message = `what hung on the tables when they were dropped is not back: ${lost.join('; ')}`;
    request.warn({ message, subject: target, partial: false });
  }
  return keptName(target, keep.name);
}

/** Schema and table of each, by the names that they are recorded under. */
async function namesOf(session: Session, tables: readonly TableFact[]): Promise<TableName[]> {
  const all = new Map((await listTables(session)).map((table) => [table.name, table]));
  return tables.map(({ name }) => {
    const { schema, table } = all.get(name)!;
    return { schema, table };
  });
}

function writtenColumns(table: TableShape): string[] {
  return table.columns.filter(({ generated }) => !generated).map(({ name }) => name);
}

function stagedQuery(table: TableShape): string {
  return `SELECT ${writtenColumns(table).map(identifier).join(', ')} FROM ONLY ${sqlName(table)}`;
}
