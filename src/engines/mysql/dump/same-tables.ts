import { setTimeout as sleep } from 'node:timers/promises';
import { DguardError } from '../../../errors.ts';
import { listTables, type TableInfo } from '../server/catalog.ts';
import { serverError } from '../server/failures.ts';
import { type ServerInfo, storedName } from '../server/server-info.ts';
import { literal, type Session } from '../server/session.ts';

/**
 * Whether tables are still those that the snapshot is of. A transaction keeps their rows, not their names: after
 * `RENAME TABLE a TO x.gone, y.a TO a` it reads the other table's rows under the name of the first, without an error
 * where that one is older than it. What was made later (TRUNCATE, a rebuild, DROP and CREATE) the server refuses to read.
 */
export interface SameTables {
  /** To be called while the table cannot be renamed: its rows were read, and its lock is not given back. */
  check(table: TableInfo): Promise<void>;
  /** At the end. */
  checkAll(tables: readonly TableInfo[]): Promise<void>;
}

/** What is known of the tables before the snapshot begins. */
export interface KnownTables {
  readonly tables: readonly TableInfo[];
  /** Ids of InnoDB's by the name that it has for each, a partition's too; undefined: the account lacks PROCESS. */
  readonly ids?: ReadonlyMap<string, bigint>;
}

/**
 * To be read before the snapshot. MariaDB's CREATE_TIME is the second of the last RENAME: without ids it has to be in
 * the past, so that a later one makes another.
 */
export async function knownTables(session: Session, info: ServerInfo, schema: string): Promise<KnownTables> {
  const tables = await listTables(session, schema);
  const ids = await readIds(session, info, schema);
  if (ids !== undefined) return { tables, ids };
  if (info.flavour !== 'mariadb') return { tables };
  const newest = tables
    .map(({ created }) => created ?? '')
    .sort()
    .at(-1);
  if (newest === undefined || newest === '') return { tables };
  const [row] = await session.rows<{ age: string }>(
    `SELECT TIMESTAMPDIFF(MICROSECOND, ${literal(newest)}, SYSDATE(6)) AS age`,
  );
  const youngMs = SETTLED_MS - Number(row!.age) / 1000;
  if (youngMs <= 0 || youngMs > SETTLED_MS) return { tables };
  await sleep(youngMs);
  return { tables: await listTables(session, schema) };
}

/** A file's time is a little behind the server's. */
const SETTLED_MS = 1100;

/** @param side sees what is now; the snapshot has begun */
export async function watchTables(
  side: Session,
  info: ServerInfo,
  schema: string,
  subject: string,
  known: KnownTables,
): Promise<SameTables> {
  const created = new Map(known.tables.map((table) => [table.name, table.created]));
  // Whatever has a greater one was made after the snapshot began.
  const highest = known.ids === undefined ? 0n : await highestId(side, info);
  const [clock] = await side.rows<{ now: string }>('SELECT CONCAT(SYSDATE()) AS now');
  const other = ({ name, engine }: TableInfo, now: string | undefined): boolean => {
    const before = created.get(name);
    if (before === undefined || now === undefined || now === before) return false;
    if (engine === 'InnoDB') return true;
    // TRUNCATE gives these the time that it is. An earlier one is another table's.
    return (engine === 'MyISAM' || engine === 'Aria') && now < clock!.now;
  };
  return {
    async check(table) {
      const rows = await side.rows<{ name: string; created: string | null }>(
        `SELECT TABLE_NAME AS name, CREATE_TIME AS created FROM information_schema.TABLES
          WHERE TABLE_SCHEMA = ${literal(schema)} AND TABLE_NAME = ${literal(table.name)}`,
      );
      const now = rows.find(({ name }) => name === table.name)?.created ?? undefined;
      if (other(table, now)) throw replaced([table.name], subject);
    },
    async checkAll(tables) {
      const names = new Map((await listTables(side, schema)).map((table) => [table.name, table.created]));
      const found = new Set<string>();
      // InnoDB's times change with a rebuild, which does no harm once the rows were read.
      for (const table of tables)
        if (table.engine !== 'InnoDB' && other(table, names.get(table.name))) found.add(table.name);
      const ids = known.ids === undefined ? undefined : await readIds(side, info, schema);
      const concerned = new Set(tables.map(({ name }) => name));
      for (const [name, id] of ids ?? []) {
        const before = known.ids?.get(name);
        if (before === undefined || before === id || id > highest) continue;
        const table = tableName(name, info);
        if ((info.flavour === 'mariadb' && table.includes('@')) || concerned.has(table)) found.add(table);
      }
      if (found.size > 0) throw replaced([...found], subject);
    },
  };
}

function replaced(names: readonly string[], subject: string): DguardError {
  return new DguardError(
    'source_failed',
    `tables were renamed, or exchanged for others, while they were dumped: ${names.slice(0, 5).join(', ')}`,
    { operation: 'dump', subject, hint: 'run the backup again; not while tables are swapped' },
  );
}

/**
 * Ids and InnoDB's names. Of MySQL those of the tables' files, which stay through a rename, and are others after a
 * rebuild: INNODB_TABLES opens every table of the server, and waits, without end, for whoever alters one of them. They
 * come as text, and undo logs, whose names have no slash, have the highest of all.
 */
function source({ flavour }: ServerInfo): string {
  return flavour === 'mariadb'
    ? '(SELECT NAME, TABLE_ID AS ID FROM information_schema.INNODB_SYS_TABLES) s'
    : "(SELECT NAME, CAST(SPACE AS UNSIGNED) AS ID FROM information_schema.INNODB_TABLESPACES_BRIEF WHERE SPACE_TYPE = 'Single' AND LOCATE('/', NAME) > 0) s";
}

/** ER_SPECIFIC_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_ERROR; ER_UNKNOWN_TABLE: a server without InnoDB. */
const NOT_TO_BE_HAD = [1227, 1045, 1109];

async function readIds(
  session: Session,
  info: ServerInfo,
  schema: string,
): Promise<ReadonlyMap<string, bigint> | undefined> {
  // No row would be found, which is not to say that there are no tables.
  if (info.flavour === 'mariadb' && /[^\x00-\x7f]/.test(schema)) return undefined;
  const name = storedName(schema, info.lowerCaseTableNames);
  const prefix = `${info.flavour === 'mariadb' ? fileName(name) : name}/`;
  try {
    const rows = await session.rows<{ name: string; id: string }>(
      `SELECT NAME AS name, ID AS id FROM ${source(info)} WHERE LEFT(NAME, ${prefix.length}) = ${literal(prefix)}`,
    );
    return new Map(rows.map(({ name, id }) => [name.slice(prefix.length), BigInt(id)]));
  } catch (error) {
    const number = (error as { errno?: unknown }).errno;
    if (NOT_TO_BE_HAD.includes(Number(number))) return undefined;
    throw serverError(error, 'source_failed', 'read table ids', schema);
  }
}

async function highestId(session: Session, info: ServerInfo): Promise<bigint> {
  const [row] = await session.rows<{ id: string | null }>(`SELECT MAX(ID) AS id FROM ${source(info)}`);
  return BigInt(row?.id ?? 0);
}

/**
 * In MariaDB InnoDB's names are those of files: what is no letter, digit or underscore is `@` and its code. Letters beyond
 * ASCII have shorter ones, which we do not know: such a schema's ids are not found, and its times have to do.
 * https://dev.mysql.com/doc/refman/8.4/en/identifier-mapping.html
 */
function fileName(name: string): string {
  return name.replace(/[^A-Za-z0-9_]/gu, (char) => `@${char.codePointAt(0)!.toString(16).padStart(4, '0')}`);
}

/** The table of such a name, or of a partition's (`t#P#p0`); with an `@` left where it cannot be told. */
function tableName(name: string, { flavour }: ServerInfo): string {
  const table = name.replace(/#p#.*$/is, '');
  if (flavour === 'mysql') return table;
  return table.replace(/@00([0-7][0-9a-f])/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
}
