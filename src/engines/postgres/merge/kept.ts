import { type Mark, parseMark } from '../restore/marks.ts';
import { MARKED } from '../server/catalog.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import type { TableName } from '../server/table-name.ts';

/**
 * What a restore of chosen tables replaced: rows in tables of a schema of dguard's own, in the same database.
 * The schema's comment is its mark, and says which table each of them was.
 */
export interface KeptMark extends Mark {
  readonly tables: readonly KeptTable[];
  /** What makes the foreign keys of moved tables again, once these are back. */
  readonly keys?: readonly string[];
}

/** `rows`: a copy of its rows. `new`: it was not there. `moved`: it is the table itself, of the same name. */
export type KeptTable = TableName & { readonly as: 'rows' | 'new' | 'moved'; readonly copy: string };

export interface KeptSchema extends KeptMark {
  readonly name: string;
  readonly sizeBytes: number;
}

/** How an undo copy of tables is called: nothing but a label, as it is a schema. */
export function keptName(database: string, schema: string): string {
  return `${database}: schema ${schema}`;
}

/** The schemas of this database that restores of chosen tables left, newest first. */
export async function listKept(session: Session): Promise<KeptSchema[]> {
  const rows = await session.rows<{ name: string; comment: string; size: string }>(`
    SELECT n.nspname AS name, d.description AS comment, coalesce((SELECT pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid))
        FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'), 0)::pg_catalog.text AS size
    FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_description d ON d.objoid = n.oid AND d.objsubid = 0
      AND d.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
    WHERE d.description LIKE ${MARKED}`);
  return rows
    .flatMap(({ name, comment, size }) => {
      const mark = parseMark(comment) as Partial<KeptMark> | undefined;
      if (mark?.role !== 'undo' || !Array.isArray(mark.tables)) return [];
      return [{ ...(mark as KeptMark), name, sizeBytes: Number(size) }];
    })
    .sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
}

/**
 * The statements that remove such a schema, once the tables `except` have left it. Not what somebody built upon
 * it: then they fail.
 */
export async function dropKeptStatements(
  session: Session,
  name: string,
  except: readonly string[] = [],
): Promise<string[]> {
  const rows = await session.rows<{ n: string }>(`
    SELECT c.relname AS n FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ${literal(name)} AND c.relkind IN ('r', 'p') ORDER BY 1`);
  const tables = rows.filter(({ n }) => !except.includes(n));
  const names = tables.map(({ n }) => `${identifier(name)}.${identifier(n)}`);
  const drop = tables.length === 0 ? [] : [`DROP TABLE ${names.join(', ')}`];
  return [...drop, `DROP SCHEMA ${identifier(name)}`];
}
