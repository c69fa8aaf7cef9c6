import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, type TLSSocket } from 'node:tls';
import type { ConnectionOptions, SslOptions } from 'mysql2';
import { abortError, errorText, throwIfAborted } from '../../../errors.ts';
import type { RowEncoder } from '../rows/row-packets.ts';
import { type RowStream, type RowStreamOptions, streamRows } from '../rows/row-stream.ts';
import { CONNECT_TIMEOUT_S, type Connection } from './connection.ts';

/** One connection. Statements run one after the other, in the order of the calls. */
export interface Session {
  /** Rows of a query; every value is its text, or null. Columns are to be named with AS. */
  rows<Row = Record<string, string | null>>(sql: string): Promise<Row[]>;
  /** A statement without a result. */
  run(sql: string): Promise<void>;
  /** Rows of a query through an encoder, as they come; no more than about `maxBytes` wait to be read. */
  stream(
    sql: string,
    encoder: (emit: (chunk: Buffer) => void) => RowEncoder,
    options: Omit<RowStreamOptions, 'gone'>,
  ): RowStream;
  close(): Promise<void>;
}

/** A text as an SQL literal (no session of ours has NO_BACKSLASH_ESCAPES), an identifier as SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\0', '\\0')}'`;
}
export function identifier(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** Settings of every session of dguard's, whatever the server's own are: a dump takes as long as it takes. */
const SETTINGS = [
  "SET SESSION sql_mode = '', time_zone = '+00:00', wait_timeout = 604800, net_read_timeout = 3600, net_write_timeout = 3600",
  'SET NAMES utf8mb4',
] as const;
/** Refused by the other flavour, or by old versions: then there is no such limit. */
const LIMITS = ['SET SESSION max_execution_time = 0', 'SET SESSION max_statement_time = 0'] as const;

/** The driver's own socket, which its types do not mention. TLS puts another one into its place. */
interface Wired {
  readonly stream: Socket;
}

/** What the driver says of each statement behind the one that found the connection gone, or of the first on it. */
const CLOSED = /in closed state|ended by the other party/i;

function ended(cause: unknown): Error {
  const text = 'Connection lost: the server ended the connection, or somebody did (KILL)';
  return new Error(text, { cause });
}

/** How the driver turns to TLS, before it sends a password; its types do not mention that. */
interface Secured {
  startTLS(onSecure: (error?: Error) => void): void;
  readonly stream: TLSSocket;
}

/**
 * The driver holds a certificate against the name that it sends to the server: none where that is called by its
 * address, and Node takes the certificate for `localhost`'s then.
 */
function checkAddress(driver: Secured, address: string): void {
  const startTls = driver.startTLS.bind(driver);
  driver.startTLS = (onSecure) =>
    startTls((error) => onSecure(error ?? checkServerIdentity(address, driver.stream.getPeerCertificate())));
}

/** Opens a session by the driver. Throws the driver's errors; an abort breaks the connection. */
export async function openSession(
  connection: Connection,
  database: string | undefined,
  signal: AbortSignal,
): Promise<Session> {
  const { default: mysql } = await import('mysql2');
  const connect = async (ssl: SslOptions | undefined) => {
    throwIfAborted(signal);
    const options: ConnectionOptions = {
      ...(connection.socket === undefined ? {} : { socketPath: connection.socket }),
      ...(connection.host === undefined ? {} : { host: connection.host }),
      ...(connection.port === undefined ? {} : { port: connection.port }),
      ...(connection.user === undefined ? {} : { user: connection.user }),
      ...(connection.password === undefined ? {} : { password: connection.password }),
      ...(database === undefined ? {} : { database }),
      ...(ssl === undefined ? {} : { ssl }),
      charset: 'utf8mb4',
      connectTimeout: CONNECT_TIMEOUT_S * 1000,
      enableKeepAlive: true,
      typeCast: (field) => field.string('utf8'),
      connectAttributes: { program_name: 'dguard' },
    };
    const opened = mysql.createConnection(options);
    if (ssl !== undefined && connection.ssl === 'verify-full' && isIP(connection.host ?? ''))
      checkAddress(opened as unknown as Secured, connection.host!);
    // A connection that breaks while nothing is asked fails the next query, not the process.
    opened.on('error', () => {});
    // A server that says nothing would keep an abort waiting for as long as it may take to connect.
    const destroy = () => void (opened as unknown as Wired).stream.destroy();
    signal.addEventListener('abort', destroy, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        opened.once('connect', () => resolve());
        opened.once('error', reject);
      });
      return opened;
    } catch (error) {
      throw signal.aborted ? abortError(signal) : error;
    } finally {
      signal.removeEventListener('abort', destroy);
    }
  };
  const ssl = await sslOptions(connection);
  const driver = await connect(ssl).catch((error: unknown) => {
    const refused = (error as { code?: unknown }).code === 'HANDSHAKE_NO_SSL_SUPPORT';
    if (connection.ssl === 'prefer' && refused) return connect(undefined);
    throw error;
  });
  const client = driver.promise();
  // The driver does not tell a query of ours that the connection was broken by us.
  const broken = new AbortController();
  const gone = broken.signal;
  // Any number of queries may wait for their turn.
  setMaxListeners(0, gone);
  const destroy = () => {
    client.destroy();
    broken.abort();
  };
  signal.addEventListener('abort', destroy, { once: true });
  if (signal.aborted) destroy();
  const query = async (sql: string) => {
    let stop = () => {};
    try {
      return await new Promise<unknown>((resolve, reject) => {
        stop = () => reject(new Error('the connection was closed'));
        if (gone.aborted) return stop();
        gone.addEventListener('abort', stop, { once: true });
        client.query(sql).then(([result]) => resolve(result), reject);
      });
    } catch (error) {
      if (signal.aborted) throw abortError(signal);
      throw CLOSED.test(errorText(error)) ? ended(error) : error;
    } finally {
      // A session lives for long: nothing of a query may hang on it.
      gone.removeEventListener('abort', stop);
    }
  };
  let streaming = 0;
  const session: Session = {
    async rows<Row>(sql: string) {
      return (await query(sql)) as Row[];
    },
    async run(sql) {
      await query(sql);
    },
    stream(sql, encoder, options) {
      streaming++;
      const stream = streamRows(driver, sql, encoder, { ...options, gone });
      stream.sent.then(() => streaming--);
      return stream;
    },
    async close() {
      signal.removeEventListener('abort', destroy);
      if (signal.aborted) return;
      // Rows that nobody reads would be waited for.
      if (streaming > 0) return destroy();
      await client.end().catch(() => client.destroy());
    },
  };
  try {
    for (const setting of SETTINGS) await session.run(setting);
    for (const limit of LIMITS) {
      await session.run(limit).catch((error: unknown) => {
        if (!/Unknown system variable/i.test(errorText(error))) throw error;
      });
    }
  } catch (error) {
    client.destroy();
    throw error;
  }
  return session;
}

async function sslOptions(connection: Connection): Promise<SslOptions | undefined> {
  if (connection.ssl === 'disable' || connection.socket !== undefined) return undefined;
  const read = async (path: string | undefined) => (path === undefined ? undefined : await readFile(path));
  const [ca, cert, key] = await Promise.all(
    [connection.sslCa, connection.sslCert, connection.sslKey].map(read),
  );
  const checks = connection.ssl.startsWith('verify');
  return {
    rejectUnauthorized: checks,
    verifyIdentity: connection.ssl === 'verify-full' && !isIP(connection.host ?? ''),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}
