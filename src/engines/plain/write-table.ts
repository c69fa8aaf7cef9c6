import type { DumpFacts } from '../types.ts';
import type { PlainForeignKey, PlainTable, WrittenTable } from './types.ts';

/** Why names are refused that are longer than the target lets them be: it would cut them. */
export function refuseLongNames(
  table: PlainTable,
  most: number,
  unit: 'bytes' | 'characters',
  sizeOf: (name: string) => number,
): string[] {
  return [table.name, ...table.columns.map(({ name }) => name)]
    .filter((name) => sizeOf(name) > most)
    .map((name) => `the name ${name} is longer than ${most} ${unit}`);
}

/** Why columns are refused whose names the target takes for one; `fold` gives them as it compares them. */
export function refuseSameNames({ columns }: PlainTable, fold: (name: string) => string): string[] {
  const first = new Map<string, string>();
  return columns.flatMap(({ name }) => {
    const other = first.get(fold(name));
    if (other !== undefined)
      return [`columns ${other} and ${name} are one there: only the case of their letters differs`];
    first.set(fold(name), name);
    return [];
  });
}

/** What foreign keys refer to in a table: lists of its columns. */
export function referredColumns(
  table: PlainTable,
  all: readonly PlainTable[],
): readonly (readonly string[])[] {
  return all.flatMap(({ foreignKeys }) =>
    foreignKeys.filter((key) => key.table === table.label).map(({ references }) => references),
  );
}

/** Names as a list of SQL. */
export function nameList(names: readonly string[], quote: (name: string) => string): string {
  return names.map(quote).join(', ');
}

/** `FOREIGN KEY … ON UPDATE …` of a key; undefined where the other table is not written. */
export function foreignKeyClause(
  key: PlainForeignKey,
  written: readonly WrittenTable[],
  quote: (name: string) => string,
  tableName: (table: PlainTable) => string = ({ name }) => quote(name),
): string | undefined {
  const to = written.find(({ table }) => table.label === key.table)?.table;
  if (to === undefined) return undefined;
  const references = key.references.length > 0 ? key.references : to.primaryKey;
  return `FOREIGN KEY (${nameList(key.columns, quote)}) REFERENCES ${tableName(to)} (${nameList(references, quote)}) ON DELETE ${key.onDelete} ON UPDATE ${key.onUpdate}`;
}

/** What every engine's `schema.json` says of a column. */
interface ColumnBase {
  readonly name: string;
  readonly type: string;
  readonly not_null: boolean;
  readonly primary_key: number;
  readonly generated: boolean;
}

/** A table's columns as `schema.json` has them. */
export function columnDocuments({ table, planned }: WrittenTable): ColumnBase[] {
  return table.columns.map(({ name, notNull }, at) => ({
    name,
    type: planned.columns[at]!.type,
    not_null: notNull,
    primary_key: table.primaryKey.indexOf(name) + 1,
    generated: false,
  }));
}

/** The facts of a dump of these tables. */
export function writtenFacts(written: readonly WrittenTable[]): DumpFacts {
  return {
    consistency: 'snapshot',
    tables_count: written.length,
    rows: written.reduce((sum, { recorded }) => sum + recorded.rows, 0),
  };
}
