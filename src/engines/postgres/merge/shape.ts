import { literal, type Session } from '../server/session.ts';
import { type TableName, tableName } from '../server/table-name.ts';

/** A table as the catalogs describe it now: what a replacement of its rows has to know. */
export interface TableShape extends TableName {
  /** As `tableName` has it. */
  readonly name: string;
  readonly oid: string;
  /** `r` for a table with rows of its own; see pg_class.relkind. */
  readonly kind: string;
  /** The role may alter it. */
  readonly owned: boolean;
  readonly columns: readonly Column[];
  /** Triggers of users that fire, and rules for INSERT, with what they are enabled for (`O`, `A`, `R`). */
  readonly triggers: readonly Switch[];
  readonly rules: readonly Switch[];
  /** Sequences that belong to its columns, or that their defaults take numbers from. */
  readonly sequences: readonly ColumnSequence[];
}

export interface Column {
  readonly name: string;
  readonly type: string;
  readonly generated: boolean;
}

export interface Switch {
  readonly name: string;
  readonly enabled: string;
}

export interface ColumnSequence {
  readonly column: string;
  /** As SQL. */
  readonly sequence: string;
  /** Of the column: it goes with it. */
  readonly owned: boolean;
  readonly descending: boolean;
  readonly readable: boolean;
  /** Whether the role may say where it goes on. */
  readonly settable: boolean;
}

/** A foreign key from or to one of the tables, by its topmost constraint where its tables are partitioned. */
export interface TouchingKey {
  /** Of its table, and of the table that it refers to. */
  readonly oid: string;
  readonly target: string;
  readonly name: string;
  /** Both as SQL. */
  readonly table: string;
  readonly references: string;
  readonly definition: string;
  readonly comment: string | null;
  readonly owned: boolean;
}

/** The tables of these names that exist, whatever they are. The session's search_path is empty. */
export async function readShapes(session: Session, names: readonly TableName[]): Promise<TableShape[]> {
  if (names.length === 0) return [];
  const wanted = names.map(({ schema, table }) => `(${literal(schema)}, ${literal(table)})`).join(', ');
  const switches = (catalog: string, name: string, enabled: string, condition: string) => `
    coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', s.${name}, 'enabled', s.${enabled}) ORDER BY s.${name})
      FROM pg_catalog.${catalog} s WHERE ${condition} AND s.${enabled} <> 'D'), '[]')`;
  const rows = await session.rows<Omit<TableShape, 'name'>>(`
    SELECT n.nspname AS "schema", c.relname AS "table",
      c.oid::pg_catalog.text AS oid, c.relkind AS kind, pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owned,
      coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', a.attname,
          'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'generated', a.attgenerated <> '') ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns,
      ${switches('pg_trigger', 'tgname', 'tgenabled', 's.tgrelid = c.oid AND NOT s.tgisinternal')} AS triggers,
      ${switches('pg_rewrite', 'rulename', 'ev_enabled', "s.ev_class = c.oid AND s.ev_type = '3'")} AS rules,
      coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('column', a.attname,
          'sequence', q.oid::pg_catalog.regclass::pg_catalog.text, 'owned', u.owned, 'descending', i.seqincrement < 0,
          'readable', pg_catalog.has_sequence_privilege(q.oid, 'SELECT'),
          'settable', pg_catalog.has_sequence_privilege(q.oid, 'SELECT') AND pg_catalog.has_sequence_privilege(q.oid, 'UPDATE')))
        FROM (SELECT oid, attnum, pg_catalog.bool_or(owned) AS owned FROM (
            SELECT d.objid AS oid, d.refobjsubid AS attnum, true AS owned FROM pg_catalog.pg_depend d
              WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid
                AND d.refobjid = c.oid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
            UNION ALL SELECT d.refobjid, f.adnum, false FROM pg_catalog.pg_attrdef f JOIN pg_catalog.pg_depend d
              ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass WHERE f.adrelid = c.oid) AS every
            GROUP BY oid, attnum) AS u
          JOIN pg_catalog.pg_class q ON q.oid = u.oid AND q.relkind = 'S'
          JOIN pg_catalog.pg_sequence i ON i.seqrelid = q.oid
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum), '[]') AS sequences
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE (n.nspname, c.relname) IN (${wanted}) ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"`);
  return rows.map((row) => ({ ...row, name: tableName(row.schema, row.table) }));
}

/** Foreign keys that one of the tables has, or is referred to by. */
export async function readTouchingKeys(
  session: Session,
  tables: readonly TableShape[],
): Promise<TouchingKey[]> {
  if (tables.length === 0) return [];
  const oids = `${literal(`{${tables.map(({ oid }) => oid).join(',')}}`)}::pg_catalog.oid[]`;
  // A derived table, as a query is wrapped in another one to come as JSON.
  return await session.rows<TouchingKey>(`
    WITH RECURSIVE touching AS (
      SELECT c.oid, c.conparentid FROM pg_catalog.pg_constraint c
        WHERE c.contype = 'f' AND (c.conrelid = ANY (${oids}) OR c.confrelid = ANY (${oids}))
      UNION SELECT p.oid, p.conparentid FROM pg_catalog.pg_constraint p JOIN touching t ON p.oid = t.conparentid)
    SELECT c.conrelid::pg_catalog.text AS oid, c.confrelid::pg_catalog.text AS target, c.conname AS name, c.conrelid::pg_catalog.regclass::pg_catalog.text AS "table",
      c.confrelid::pg_catalog.regclass::pg_catalog.text AS "references",
      pg_catalog.pg_get_constraintdef(c.oid) AS definition,
      pg_catalog.obj_description(c.oid, 'pg_constraint') AS comment, pg_catalog.pg_has_role(r.relowner, 'USAGE') AS owned
    FROM pg_catalog.pg_constraint c JOIN touching t ON t.oid = c.oid JOIN pg_catalog.pg_class r ON r.oid = c.conrelid
    WHERE c.conparentid = 0 ORDER BY 4, 3`);
}

/** Views that read from one of the tables; `kinds`: v, and m for materialised ones, which keep what they had. */
export async function readersOf(
  session: Session,
  tables: readonly TableShape[],
  kinds: readonly ('v' | 'm')[],
): Promise<string[]> {
  if (tables.length === 0) return [];
  const oids = `${literal(`{${tables.map(({ oid }) => oid).join(',')}}`)}::pg_catalog.oid[]`;
  const rows = await session.rows<{ n: string }>(`
    WITH RECURSIVE readers AS (
      SELECT w.ev_class AS oid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
        WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refobjid = ANY (${oids})
      UNION SELECT w.ev_class FROM readers r JOIN pg_catalog.pg_depend d ON d.refobjid = r.oid
        JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass)
    SELECT c.oid::pg_catalog.regclass::pg_catalog.text AS n FROM pg_catalog.pg_class c
    WHERE c.relkind IN (${kinds.map(literal).join(', ')}) AND c.oid IN (SELECT oid FROM readers) ORDER BY 1`);
  return rows.map(({ n }) => n);
}
