import { markText } from '../restore/marks.ts';
import { identifier, literal } from '../server/session.ts';
import { sqlName } from '../server/table-name.ts';
import type { KeptMark } from './kept.ts';
import { type SequencePosition, setSequence } from './sequences.ts';
import type { TableShape, TouchingKey } from './shape.ts';

/** The script of one transaction; what is not text comes from a stage while the script runs. */
export type ScriptPart = string | (() => AsyncIterable<Uint8Array>);

/** Rows that take the place of a table's own. */
export interface Replacement {
  readonly live: TableShape;
  /** Columns that are written: all but generated ones. */
  readonly columns: readonly string[];
  readonly rows:
    | { readonly from: 'stage'; open(): AsyncIterable<Uint8Array> }
    | { readonly from: 'table'; readonly sql: string };
  /** How many they must be; undefined: not known. */
  readonly count?: number;
  /** What they are written into, where it finds the partition of each. */
  readonly into?: TableShape;
}

export interface Merge {
  readonly lockTimeoutMs: number;
  /** The schema that keeps what is replaced. */
  readonly keep: { readonly name: string; readonly mark: KeptMark };
  readonly replacements: readonly Replacement[];
  /** Partitioned tables that rows are written `into`, and how many they must be together. */
  readonly sums: readonly { readonly table: TableShape; readonly count: number }[];
  /** Foreign keys that are made anew once the rows are there. */
  readonly keys: readonly TouchingKey[];
  /** Foreign keys of tables that are taken away: gone with them. */
  readonly keysAway: readonly TouchingKey[];
  /** Tables that are taken out of their schemas, by SQL name: into `keep`. */
  readonly movedAway: readonly string[];
  readonly sequences: readonly SequencePosition[];
  /** After the rows: tables that were not there, and what goes to its old schema. */
  readonly after: readonly ScriptPart[];
}

/**
 * One transaction that replaces the rows of tables and keeps the old ones: who looks sees all of the old, or all
 * of the new. The tables stay what they are, so views, grants, policies, publications and partitions keep them;
 * foreign keys are taken away and made anew, which checks every row of both sides. One exception, PostgreSQL's
 * own: a REPEATABLE READ transaction that began before and has not touched a table yet finds it empty, because
 * TRUNCATE is not MVCC-safe (its manual, "MVCC caveats").
 */
export function mergeScript(merge: Merge): ScriptPart[] {
  const { keep, replacements } = merge;
  const keys = [...merge.keys, ...merge.keysAway];
  const live = replacements.map((one) => `ONLY ${sqlName(one.live)}`);
  const switched = [...replacements.map((one) => one.live), ...merge.sums.map(({ table }) => table)];
  const others = [...new Set(keys.flatMap(({ table, references }) => [table, references]))];
  const locked = [...live, ...others, ...merge.movedAway];
  return statements([
    'BEGIN',
    `SET LOCAL lock_timeout = ${merge.lockTimeoutMs}`,
    ...(locked.length === 0 ? [] : [`LOCK TABLE ${locked.join(', ')} IN ACCESS EXCLUSIVE MODE`]),
    `CREATE SCHEMA ${identifier(keep.name)}`,
    `COMMENT ON SCHEMA ${identifier(keep.name)} IS ${literal(markText(keep.mark))}`,
    ...replacements.map(({ live: table }) => {
      const { copy } = keep.mark.tables.find((one) => sqlName(one) === sqlName(table))!;
      return `CREATE TABLE ${identifier(keep.name)}.${identifier(copy)} AS SELECT * FROM ONLY ${sqlName(table)}`;
    }),
    ...keys.map(({ table, name }) => `ALTER TABLE ${table} DROP CONSTRAINT ${identifier(name)}`),
    ...switched.flatMap((table) => switches(table, false)),
    ...(live.length === 0 ? [] : [`TRUNCATE ${live.join(', ')}`]),
    ...replacements.flatMap(fill),
    ...merge.sums.map(({ table, count }) => requireCount(table, sqlName(table), count)),
    ...switched.flatMap((table) => switches(table, true)),
    ...merge.movedAway.map((table) => `ALTER TABLE ${table} SET SCHEMA ${identifier(keep.name)}`),
    ...merge.after,
    ...merge.keys.flatMap(addKey),
    ...merge.sequences.map(setSequence),
    'COMMIT',
  ]);
}

/** The statements that make a foreign key. */
export function addKey({ table, name, definition, comment }: TouchingKey): string[] {
  const add = `ALTER TABLE ${table} ADD CONSTRAINT ${identifier(name)} ${definition}`;
  const says = `COMMENT ON CONSTRAINT ${identifier(name)} ON ${table} IS ${literal(comment ?? '')}`;
  return comment === null ? [add] : [add, says];
}

function fill({ live, columns, rows, count, into = live }: Replacement): ScriptPart[] {
  const list = columns.map(identifier).join(', ');
  const parts: ScriptPart[] =
    rows.from === 'table'
      ? [
          columns.length === 0
            ? `INSERT INTO ${sqlName(live)} SELECT FROM ${rows.sql}`
            : `INSERT INTO ${sqlName(live)} (${list}) OVERRIDING SYSTEM VALUE SELECT ${list} FROM ${rows.sql}`,
        ]
      : [
          `COPY ${sqlName(into)}${columns.length === 0 ? '' : ` (${list})`} FROM STDIN`,
          async function* () {
            yield* rows.open();
            yield Buffer.from('\\.\n');
          },
        ];
  return count === undefined ? parts : [...parts, requireCount(live, `ONLY ${sqlName(live)}`, count)];
}

/** A cast that fails says what it was given: an error with a text of ours, without any procedural language. */
function requireCount({ name }: TableShape, from: string, count: number): string {
  const wrong = `${literal(`${name} has `)} || pg_catalog.count(*) || ${literal(` rows now, ${count} were staged`)}`;
  return `SELECT CASE WHEN pg_catalog.count(*) = ${count} THEN 0 ELSE (${wrong})::pg_catalog.int4 END FROM ${from}`;
}

function switches(table: TableShape, on: boolean): string[] {
  const change = (kind: 'TRIGGER' | 'RULE', name: string, enabled: string) => {
    const how = on ? `ENABLE ${enabled === 'A' ? 'ALWAYS ' : enabled === 'R' ? 'REPLICA ' : ''}` : 'DISABLE ';
    return `ALTER TABLE ONLY ${sqlName(table)} ${how}${kind} ${identifier(name)}`;
  };
  return [
    ...table.triggers.map(({ name, enabled }) => change('TRIGGER', name, enabled)),
    ...table.rules.map(({ name, enabled }) => change('RULE', name, enabled)),
  ];
}

function statements(parts: readonly ScriptPart[]): ScriptPart[] {
  return parts.map((part) => (typeof part === 'string' ? `${part};\n` : part));
}
