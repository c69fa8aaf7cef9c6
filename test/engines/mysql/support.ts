import mysql from 'mysql2/promise';
import { describe } from 'vitest';
import type { MysqlOptions } from '../../../src/engines/mysql/engine.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import type { BackupContent, DumpRequest, EngineSource } from '../../../src/engines/types.ts';
import type { MysqlServer, MysqlServerName } from '../../services/mysql.mjs';
import { externalMysql, mysqlPrograms, startMysql } from '../../services/mysql.mjs';
import { describeWithServers } from '../../services/needs.ts';
import { backUpBy, dumpRequest, loginOf, makeServerBench, type ServerBench } from '../support.ts';

export { contentOf, dumpRequest } from '../support.ts';

export const MYSQL_SERVERS: readonly MysqlServerName[] = ['mariadb-10.11', 'mariadb-11.8', 'mysql-9.7'];

/** A suite against each of the servers, or against the one that DGUARD_TEST_MYSQL_URL names. */
export function describeWithEachMysql(name: string, suite: (server: () => MysqlServer) => void): void {
  const external = externalMysql();
  if (external) describe(`${name} [${external.label}]`, () => suite(() => external));
  else for (const server of MYSQL_SERVERS) describeWithMysql([server], name, ([own]) => suite(own!));
}

/** A suite against servers started for it. Where one cannot be had it is skipped by name. */
export function describeWithMysql(
  names: readonly MysqlServerName[],
  name: string,
  suite: (servers: (() => MysqlServer)[]) => void,
): void {
  const needed = names.map((server) => ({
    name: server,
    isThere: mysqlPrograms(server) !== undefined,
    start: () => startMysql(server),
  }));
  describeWithServers(`${name} [${names.join(', ')}]`, needed, suite);
}

/** What the engine is handed against one server, and plain access to that server. */
export interface Bench extends ServerBench<MysqlOptions> {
  readonly server: MysqlServer;
  /** Runs a statement as the superuser, or a script of several; returns the rows of the last. */
  sql(database: string | undefined, text: string): Promise<Record<string, unknown>[]>;
  /** A new database, filled by a script; dropped where it was there. */
  database(name: string, script?: string): Promise<string>;
  names(): Promise<string[]>;
}

/**
 * @param prefix what the tests of a file call their databases: only such are ever dropped
 * @param bin where the client tools are
 */
export async function makeBench(server: MysqlServer, prefix = 'dgt_', bin = server.bin): Promise<Bench> {
  const bench = await makeServerBench<MysqlOptions>('mysql', loginOf(server, bin));
  const sql = async (database: string | undefined, text: string) => {
    const client = await mysql.createConnection({
      host: server.host,
      port: server.port,
      user: server.user,
      password: server.password,
      charset: 'utf8mb4',
      multipleStatements: true,
      dateStrings: true,
      ...(database === undefined ? {} : { database }),
    });
    client.on('error', () => {});
    try {
      // Statements of a script begin at the margin: a trigger that was sent with others keeps its semicolon.
      const statements = text.split(/;\n(?=CREATE |INSERT |SET |USE )/);
      for (const statement of statements.slice(0, -1)) await client.query(statement);
      const [rows] = await client.query(statements.at(-1)!.replace(/;\s*$/, ''));
      const last = Array.isArray(rows) && Array.isArray(rows.at(-1)) ? rows.at(-1) : rows;
      return (Array.isArray(last) ? last : []) as Record<string, unknown>[];
    } finally {
      await client.end();
    }
  };
  const names = async () =>
    (await sql(undefined, 'SHOW DATABASES'))
      .map((row) => Object.values(row)[0] as string)
      .filter((name) => name.startsWith(prefix));
  for (const name of await names()) await sql(undefined, `DROP DATABASE \`${name}\``);
  return {
    ...bench,
    server,
    names,
    sql,
    async database(name, script = '') {
      await sql(undefined, `DROP DATABASE IF EXISTS \`${name}\``);
      await sql(undefined, `CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci`);
      if (script !== '') await sql(name, script);
      return name;
    },
  };
}

/** Dumps a database into a real archive and opens it again. */
export async function backUp(
  source: EngineSource<MysqlOptions>,
  more: Partial<DumpRequest> = {},
): Promise<BackupContent> {
  return backUpBy(mysqlEngine, source, dumpRequest(more));
}

/** All that a schema is: every definition as the server writes it, and a checksum of every table's rows. */
export async function picture(bench: Bench, schema: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const show = async (kind: string, name: string) => {
    const [row] = await bench.sql(schema, `SHOW CREATE ${kind} \`${name.replaceAll('`', '``')}\``);
    const text = Object.entries(row!)
      .filter(([column]) => !/^(Created|Database Collation)$/i.test(column))
      .map(([column, value]) => `${column}: ${value}`)
      .join('\n');
    // MySQL writes a column's character set once its collation was said: of a restored table it always was.
    found[`${kind} ${name}`] = text
      .replaceAll(`\`${schema}\`.`, '')
      .replace(/ CHARACTER SET \w+(?= COLLATE)/g, '');
  };
  const [defaults] = await bench.sql(
    schema,
    'SELECT @@character_set_database AS charset, @@collation_database AS collation',
  );
  found['defaults'] = JSON.stringify(defaults);
  for (const row of await bench.sql(schema, 'SHOW FULL TABLES')) {
    const [name, type] = Object.values(row) as [string, string];
    if (name.startsWith('__dguard')) continue;
    await show(type === 'VIEW' ? 'VIEW' : 'TABLE', name);
    if (type === 'VIEW') continue;
    const [sum] = await bench.sql(schema, `CHECKSUM TABLE \`${name.replaceAll('`', '``')}\` EXTENDED`);
    found[`rows of ${name}`] = String(sum!['Checksum']);
  }
  const code = await bench.sql(
    undefined,
    `SELECT ROUTINE_TYPE AS kind, ROUTINE_NAME AS name FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = '${schema}'
      UNION ALL SELECT 'TRIGGER', TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '${schema}'
      UNION ALL SELECT 'EVENT', EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '${schema}'`,
  );
  for (const { kind, name } of code as { kind: string; name: string }[]) await show(kind, name);
  return found;
}
