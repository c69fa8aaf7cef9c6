import { identifier, literal, type Session } from '../server/session.ts';
import { readersOf, readTouchingKeys, type TableShape } from './shape.ts';

/**
 * What hung on tables that the database no longer has, and went with them (DROP … CASCADE): foreign keys of tables that
 * are still there, as statements that make them again, and views by name. Restoring the tables does not bring it back.
 */
export async function lostWith(
  staged: Session,
  session: Session,
  missing: readonly TableShape[],
): Promise<string[]> {
  if (missing.length === 0) return [];
  const oids = new Set(missing.map(({ oid }) => oid));
  await staged.run("SET search_path TO ''");
  const keys = (await readTouchingKeys(staged, missing)).filter(
    ({ oid, target }) => oids.has(target) && !oids.has(oid),
  );
  const views = await readersOf(staged, missing, ['v', 'm']);
  const there = await existing(session, [...keys.map(({ table }) => table), ...views]);
  return [
    ...keys
      .filter(({ table }) => there.has(table))
      .map(
        ({ table, name, definition }) =>
          `ALTER TABLE ${table} ADD CONSTRAINT ${identifier(name)} ${definition}`,
      ),
    ...views.filter((view) => !there.has(view)).map((view) => `view ${view}`),
  ];
}

/** Those of the quoted names that are relations. */
async function existing(session: Session, names: readonly string[]): Promise<ReadonlySet<string>> {
  if (names.length === 0) return new Set();
  const rows = await session.rows<{ name: string }>(`
    SELECT n.name FROM (VALUES ${names.map((name) => `(${literal(name)})`).join(', ')}) n(name)
    WHERE pg_catalog.to_regclass(n.name) IS NOT NULL`);
  return new Set(rows.map(({ name }) => name));
}
