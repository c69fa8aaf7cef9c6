import { readFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import type { ClientConfig } from 'pg';
import { abortError, DguardError, errorText } from '../../../errors.ts';
import type { Connection } from './connection.ts';
import { CONNECT_TIMEOUT_S, WITHOUT_LIMITS } from './connection.ts';
import { sqlState } from './failures.ts';

/** One connection to one database. Statements run one after the other, in the order of the calls. */
export interface Session {
  /** Rows of a query, by way of JSON: cast to text what does not fit into a number. */
  rows<Row>(sql: string): Promise<Row[]>;
  /** One statement, without a result: of several psql tells only how the last one ended. */
  run(sql: string): Promise<void>;
  close(): Promise<void>;
}

/** A query whose result is one JSON text. */
export function jsonQuery(sql: string): string {
  return `SELECT coalesce(pg_catalog.jsonb_agg(q), '[]')::pg_catalog.text AS j FROM (${sql}) AS q`;
}

/** A text as an SQL literal, an identifier as SQL. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`;
  return text.includes('\\') ? ` E${quoted}` : quoted;
}
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Lets a role do what another one may. A grant that is there keeps what it lacks unless that is said (16 and newer). */
export function grantRole(of: string, to: string, serverVersionNum: number): string {
  const options = serverVersionNum >= 160_000 ? ' WITH INHERIT TRUE, SET TRUE' : '';
  return `GRANT ${identifier(of)} TO ${identifier(to)}${options}`;
}

/** The driver's own socket, which its types do not mention. TLS puts another one into its place. */
interface Wired {
  readonly connection: {
    readonly stream: { destroy(): void };
    on(event: 'parameterStatus', listener: (status: ParameterStatus) => void): void;
  };
}

/** What a server says of itself when a session begins. */
interface ParameterStatus {
  readonly parameterName: string;
  readonly parameterValue: string;
}

/** SQLSTATE invalid_authorization_specification: no line of pg_hba.conf is about such a connection. */
const NOT_LET_IN = '28000';

/** Opens a session by the driver. Throws the driver's errors; an abort breaks the connection. */
export async function openDriverSession(
  connection: Connection,
  database: string,
  signal: AbortSignal,
): Promise<Session> {
  const { default: pg } = await import('pg');
  let serverEncoding = '';
  const connect = async (ssl: ClientConfig['ssl']) => {
    const client = new pg.Client({
      ...(connection.host === undefined ? {} : { host: connection.host }),
      ...(connection.port === undefined ? {} : { port: connection.port }),
      ...(connection.user === undefined ? {} : { user: connection.user }),
      ...(connection.password === undefined ? {} : { password: connection.password }),
      ...(ssl === undefined ? {} : { ssl }),
      database,
      application_name: 'dguard',
      options: connection.settings,
      connectionTimeoutMillis: CONNECT_TIMEOUT_S * 1000,
      keepAlive: true,
      // What it makes by itself; but to see that this is no Cloudflare it would load all of fetch, 40 ms.
      stream: () => new Socket(),
    });
    // A connection that breaks while nothing is asked fails the next query, not the process.
    client.on('error', () => {});
    (client as unknown as Wired).connection.on('parameterStatus', ({ parameterName, parameterValue }) => {
      if (parameterName === 'server_encoding') serverEncoding = parameterValue;
    });
    // A server that says nothing would keep an abort waiting for as long as it may take to connect.
    const destroy = () => void (client as unknown as Wired).connection.stream.destroy();
    signal.addEventListener('abort', destroy, { once: true });
    try {
      await client.connect();
      return client;
    } catch (error) {
      throw signal.aborted ? abortError(signal) : error;
    } finally {
      signal.removeEventListener('abort', destroy);
    }
  };
  const ssl = await sslOptions(connection);
  const client = await connect(ssl).catch((error: unknown) => {
    // As libpq does: who is let in only without TLS (`hostnossl`) is, unless TLS was asked for.
    const refused = /does not support SSL/i.test(errorText(error)) || sqlState(error) === NOT_LET_IN;
    if (connection.ssl !== 'prefer' || ssl === false || !refused) throw error;
    return connect(false).catch((second: unknown) => {
      throw sqlState(second) === NOT_LET_IN ? error : second;
    });
  });
  const destroy = () => void (client as unknown as Wired).connection.stream.destroy();
  signal.addEventListener('abort', destroy, { once: true });
  if (signal.aborted) destroy();
  const query = async (sql: string) => {
    try {
      return await client.query<{ j: string }>(sql);
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      throw error;
    }
  };
  // Its texts are bytes of whatever encoding: to be given them as UTF-8 would be an error where they are none.
  await query(WITHOUT_LIMITS);
  if (serverEncoding === 'SQL_ASCII') await query("SET client_encoding TO 'SQL_ASCII'");
  return {
    async rows<Row>(sql: string) {
      return JSON.parse((await query(jsonQuery(sql))).rows[0]!.j) as Row[];
    },
    async run(sql) {
      await query(sql);
    },
    async close() {
      signal.removeEventListener('abort', destroy);
      await client.end().catch(() => {});
    },
  };
}

/** All of the statements, or none. */
export async function inTransaction(session: Session, statements: readonly string[]): Promise<void> {
  await session.run('BEGIN');
  try {
    for (const statement of statements) await session.run(statement);
    await session.run('COMMIT');
  } catch (error) {
    await session.run('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** libpq's modes in the driver's terms; `require` with an authority checks it, as libpq does. */
async function sslOptions(connection: Connection): Promise<ClientConfig['ssl']> {
  if (connection.ssl === 'disable' || connection.host?.startsWith('/')) return false;
  const [ca, cert, key] = await Promise.all([
    readKeyFile('ssl_ca', connection.sslCa),
    readKeyFile('ssl_cert', connection.sslCert),
    readKeyFile('ssl_key', connection.sslKey),
  ]);
  const checks = connection.ssl.startsWith('verify') || (connection.ssl === 'require' && ca !== undefined);
  return {
    rejectUnauthorized: checks,
    ...(connection.ssl === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

async function readKeyFile(option: string, path: string | undefined): Promise<Buffer | undefined> {
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw new DguardError('config_invalid', `${option} cannot be read: ${errorText(error)}`, {
      operation: 'connect',
      subject: path,
      cause: error,
    });
  }
}
