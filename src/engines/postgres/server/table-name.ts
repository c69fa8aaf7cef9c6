import { identifier } from './session.ts';

/** A table by schema and name. */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

/** As SQL names it. */
export function sqlName({ schema, table }: TableName): string {
  return `${identifier(schema)}.${identifier(table)}`;
}

/**
 * How backups and patterns name a table: `schema.table`. A schema that has a dot in its name, or begins with a quote,
 * stands in quotes, so that no two tables have one name (`"a.b".c` and `a.b.c`, the table `b.c` of `a`).
 */
export function tableName(schema: string, table: string): string {
  return `${/\.|^"/.test(schema) ? `"${schema.replaceAll('"', '""')}"` : schema}.${table}`;
}

/** The table of such a name, without its schema. */
export function tableOf(name: string): string {
  return name.replace(/^(?:"(?:[^"]|"")*"|[^.]*)\./, '');
}

/** A name as pg_restore lists it: what would end the line is a blank (`sanitize_line`, pg_backup_archiver.c). */
export function listedName(name: string): string {
  return name.replace(/[\r\n]/g, ' ');
}
