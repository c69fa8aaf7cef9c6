import { DguardError } from '../../../errors.ts';
import type { EngineSource } from '../../types.ts';
import type { MysqlOptions } from '../options.ts';
import { hasOwnRows, type TableInfo } from '../server/catalog.ts';
import { literal } from '../server/session.ts';
import type { Moment } from './moment.ts';

/**
 * MariaDB's tool writes the values of MySQL's generated columns into its dump, which MySQL refuses to load: no
 * backup at all is better than one that cannot be restored. Of the tables whose rows it has to dump.
 */
export async function refuseGenerated(
  { side, schema, info, tools, subject }: Pick<Moment, 'side' | 'schema' | 'info' | 'tools' | 'subject'>,
  tables: readonly TableInfo[],
): Promise<void> {
  if (info.flavour !== 'mysql' || tools.flavour !== 'mariadb') return;
  const rows = await side.rows<{ name: string }>(
    `SELECT DISTINCT TABLE_NAME AS name FROM information_schema.COLUMNS
      WHERE TABLE_SCHEMA = ${literal(schema)} AND EXTRA LIKE '%GENERATED%' AND EXTRA NOT LIKE 'DEFAULT_GENERATED%'`,
  );
  const concerned = rows.filter((row) => tables.some(({ name }) => name === row.name));
  if (concerned.length === 0) return;
  const named = concerned.slice(0, 5).map(({ name }) => name);
  throw new DguardError(
    'tool_version',
    `MariaDB's ${tools.name} cannot dump generated columns of MySQL so that they can be restored: ${named.join(', ')}`,
    {
      operation: 'dump',
      subject,
      hint: "install MySQL's own client tools, or say where they are: client_path",
    },
  );
}

export function warnOfEngines(
  tables: readonly TableInfo[],
  source: EngineSource<MysqlOptions>,
  subject: string,
): void {
  const unsafe = tables.filter((table) => table.kind === 'table' && !table.transactional);
  if (unsafe.length === 0) return;
  const named = unsafe.slice(0, 10).map(({ name, engine }) => `${name} (${engine})`);
  source.warn({
    message: `tables without transactions may change while they are dumped: ${named.join(', ')}${unsafe.length > 10 ? ', …' : ''}; ALTER TABLE … ENGINE=InnoDB`,
    subject,
    partial: false,
  });
}

/** Of tables that show rows of others, neither form has more than the definition. */
export function warnOfElsewhere(
  tables: readonly TableInfo[],
  source: EngineSource<MysqlOptions>,
  subject: string,
): void {
  const elsewhere = tables.filter((table) => table.kind === 'table' && !hasOwnRows(table));
  if (elsewhere.length === 0) return;
  const named = elsewhere.slice(0, 10).map(({ name, engine }) => `${name} (${engine})`);
  source.warn({
    message: `tables that show rows which lie elsewhere are backed up without rows: ${named.join(', ')}${elsewhere.length > 10 ? ', …' : ''}; back up what they show`,
    subject,
    partial: false,
  });
}

/** Of tables with system versioning, what rows were before is in no JSON lines, and not every dump tool writes it. */
export function warnOfHistory(
  tables: readonly TableInfo[],
  isKept: boolean,
  source: EngineSource<MysqlOptions>,
  subject: string,
): void {
  const versioned = tables.filter((table) => table.kind === 'table' && table.versioned);
  if (isKept || versioned.length === 0) return;
  const named = versioned.slice(0, 10).map(({ name }) => name);
  source.warn({
    message: `rows are backed up as they are now, their history (system versioning) is not: ${named.join(', ')}${versioned.length > 10 ? ', …' : ''}; format: native and mariadb-dump of 10.11 or newer keep it`,
    subject,
    partial: false,
  });
}

export function noSchema(schema: string, subject: string): DguardError {
  return new DguardError('source_failed', `there is no database ${schema}, or the account may not see it`, {
    operation: 'dump',
    subject,
    hint: 'list the databases: SHOW DATABASES',
  });
}
