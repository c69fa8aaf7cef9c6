import { shellWord } from '../../../shell-word.ts';
import { listTables } from '../server/catalog.ts';
import { identifier, literal } from '../server/session.ts';
import { storedNames, type Work } from './restore-work.ts';

/**
 * Warns of foreign keys of what was restored to `schema` that refer to tables which are not there: their table takes no
 * new row, and nobody is told before.
 */
export async function warnOfMissingParents(work: Work, schema: string): Promise<void> {
  const { session, info, request, recorded } = work;
  const restored = new Set(storedNames(work.tables, info));
  const rows = await session.rows<{ t: string; k: string; rs: string; rt: string }>(
    `SELECT TABLE_NAME AS t, CONSTRAINT_NAME AS k, UNIQUE_CONSTRAINT_SCHEMA AS rs, REFERENCED_TABLE_NAME AS rt
      FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = ${literal(schema)}
      ORDER BY TABLE_NAME, CONSTRAINT_NAME`,
  );
  const keys = rows.filter(({ t }) => restored.has(t));
  const there = new Set<string>();
  for (const place of new Set(keys.map(({ rs }) => rs)))
    for (const { name } of await listTables(session, place)) there.add(qualified(place, name));
  const missing = keys.filter(({ rs, rt }) => !there.has(qualified(rs, rt)));
  const [first] = missing;
  if (first === undefined) return;
  const held = new Set(storedNames(recorded, info));
  const parents = new Set(missing.filter(({ rs, rt }) => rs === schema && held.has(rt)).map(({ rt }) => rt));
  const named = missing
    .slice(0, 5)
    .map((key) => `${key.t} → ${key.rs === schema ? '' : `${key.rs}.`}${key.rt}`);
  const together = [...new Set(missing.map((key) => key.t)), ...parents]
    .map((name) => `--only ${shellWord(name)}`)
    .join(' ');
  const next = [
    ...(parents.size > 0 && parents.size <= 5 ? [`restore them together: ${together}`] : []),
    `or drop the key: ALTER TABLE ${identifier(first.t)} DROP FOREIGN KEY ${identifier(first.k)}`,
  ];
  request.warn({
    message: `foreign keys refer to tables that are not there, so that no row can be added: ${named.join(', ')}${missing.length > 5 ? ', …' : ''}; ${next.join(', ').replace(/^or /, '')}`,
    subject: schema,
    partial: false,
  });
}

function qualified(schema: string, table: string): string {
  return `${identifier(schema)}.${identifier(table)}`;
}
