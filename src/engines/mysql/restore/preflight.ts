import { DguardError } from '../../../errors.ts';
import type { TableFact, Warning } from '../../types.ts';
import type { SourceFacts } from '../facts.ts';
import { listTables } from '../server/catalog.ts';
import type { ServerInfo } from '../server/server-info.ts';
import { literal, type Session } from '../server/session.ts';
import { compareVersions } from '../server/tools.ts';

/**
 * What may go wrong between the server that a backup is of and the one that it is restored to. Throws `target_refused`
 * where two of the tables would be one.
 */
export function refuseBadFit(
  facts: SourceFacts,
  info: ServerInfo,
  target: string,
  tables: readonly TableFact[],
  warn: (warning: Warning) => void,
): void {
  const tell = (message: string) => warn({ message, subject: target, partial: false });
  const title = { mysql: 'MySQL', mariadb: 'MariaDB' };
  // Tables of another engine are of no version.
  if (facts.version !== '' && facts.flavour !== info.flavour) {
    tell(
      `the backup is of ${title[facts.flavour]} ${facts.version}, the target is ${title[info.flavour]} ${info.version}: collations, JSON and routines may not carry over`,
    );
  } else if (
    compareVersions(facts.version, info.version) > 0 &&
    major(facts.version) !== major(info.version)
  ) {
    tell(`the backup is of ${facts.version}, the target is older: ${info.version}`);
  }
  if (facts.lower_case_table_names === 0 && info.lowerCaseTableNames !== 0) {
    refuseFolded(tables, target);
    tell('names of tables differed by case at the source, and do not at the target');
  }
}

/** The second would be loaded over the first, and what came back would look like a backup that is damaged. */
function refuseFolded(tables: readonly TableFact[], target: string): void {
  const seen = new Map<string, string>();
  for (const { name } of tables) {
    const first = seen.get(name.toLowerCase());
    seen.set(name.toLowerCase(), name);
    if (first === undefined) continue;
    throw new DguardError(
      'target_refused',
      `${first} and ${name} are two tables in the backup, and would be one here (lower_case_table_names)`,
      {
        operation: 'restore',
        subject: target,
        hint: 'restore to a server with lower_case_table_names = 0, or one of them at a time: --only TABLE',
      },
    );
  }
}

function major(version: string): string {
  return version.split('.')[0]!;
}

/**
 * A foreign key follows the table that it refers to when that is renamed: one that stays would refer to the
 * undo copy afterwards. Refuses where there is one, of another schema, or of a table that is not replaced too.
 */
export async function refuseReferences(
  session: Session,
  target: string,
  replaced: readonly string[] | undefined,
): Promise<void> {
  const rows = await session.rows<{ schema_name: string; table_name: string; referenced: string }>(
    `SELECT CONSTRAINT_SCHEMA AS schema_name, TABLE_NAME AS table_name, REFERENCED_TABLE_NAME AS referenced
      FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE UNIQUE_CONSTRAINT_SCHEMA = ${literal(target)}`,
  );
  const staying = rows.filter(
    (row) =>
      row.schema_name !== target ||
      (replaced?.includes(row.referenced) === true && !replaced.includes(row.table_name)),
  );
  if (staying.length === 0) return;
  const named = staying.slice(0, 5).map((row) => `${row.schema_name}.${row.table_name} → ${row.referenced}`);
  throw new DguardError(
    'target_refused',
    `foreign keys of tables that stay refer to what is replaced: ${named.join(', ')}`,
    {
      operation: 'restore',
      subject: target,
      hint: 'restore to a new database (--to-database), restore those tables too (--only), or drop the foreign keys first',
    },
  );
}

/** Tables of the target that the backup does not hold. `tables`: those it holds. */
export async function mergeExtras(
  session: Session,
  target: string,
  tables: readonly string[],
): Promise<string[]> {
  const held = new Set(tables);
  return (await listTables(session, target))
    .filter(({ name, kind }) => kind !== 'view' && !held.has(name))
    .map(({ name }) => name);
}
