import { readFile } from 'node:fs/promises';
import type { Connection as Client, ConnectionConfiguration, Request } from 'tedious';
import { abortError, DguardError } from '../../../errors.ts';
import { CONNECT_TIMEOUT_MS, type Connection } from './connection.ts';

export type Value = string | number | bigint | boolean | Date | Buffer | null;
export type Row = Readonly<Record<string, Value>>;

/** One connection to one database. Statements run one after the other, in the order of the calls. */
export interface Session {
  /** The rows of a batch, by the names of its columns. */
  rows<R = Row>(sql: string): Promise<R[]>;
  /** The rows of a batch as they come, by position; never more than a few hundred are held. */
  stream(sql: string): AsyncGenerator<readonly Value[]>;
  /** A statement with one text as `@p`. */
  runWith(sql: string, parameter: string): Promise<void>;
  /** A batch without a result, however long it takes. Returns what the server said meanwhile. */
  run(sql: string): Promise<readonly string[]>;
  close(): Promise<void>;
}

const ROWS_HELD = 200;

/** Settings of every session of dguard's: what values look like as text must not depend on the login. */
const SETTINGS =
  'SET NOCOUNT ON; SET LANGUAGE us_english; SET DATEFORMAT ymd; SET LOCK_TIMEOUT -1; SET XACT_ABORT ON; SET ANSI_NULLS, ANSI_PADDING, ANSI_WARNINGS, ARITHABORT, CONCAT_NULL_YIELDS_NULL, QUOTED_IDENTIFIER ON; SET NUMERIC_ROUNDABORT OFF;';

/** Opens a session. Throws the driver's errors, with the server's number of an error that it sent. */
export async function openSession(
  connection: Connection,
  database: string | undefined,
  signal: AbortSignal,
): Promise<Session> {
  const { default: tedious } = await import('tedious');
  const client = new tedious.Connection(await configuration(connection, database));
  // A connection that breaks while nothing is asked fails the next request, not the process.
  client.on('error', () => {});
  requireEncryption(client, connection);
  const destroy = () => client.close();
  signal.addEventListener('abort', destroy, { once: true });
  try {
    await connect(client, signal);
  } catch (error) {
    signal.removeEventListener('abort', destroy);
    client.close();
    throw error;
  }
  const said: string[] = [];
  client.on('infoMessage', ({ message }: { message: string }) => said.push(message));
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work, work);
    last = next.catch(() => undefined);
    return next;
  };

  /** Sends a request; `onRow` may pause it. */
  function execute(
    sql: string,
    send: (request: Request) => void,
    onRow?: (values: Value[], names: string[], request: Request) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = new tedious.Request(sql, (error) => {
        if (!error) resolve();
        else reject(signal.aborted ? abortError(signal) : error);
      });
      request.setTimeout(0);
      if (onRow) {
        request.on('row', (columns: { value: Value; metadata: { colName: string } }[]) =>
          onRow(
            columns.map(({ value }) => value),
            columns.map(({ metadata }) => metadata.colName),
            request,
          ),
        );
      }
      send(request);
    });
  }
  const batch = (request: Request) => client.execSqlBatch(request);

  const session: Session = {
    rows: <R>(sql: string) =>
      inTurn(async () => {
        const rows: R[] = [];
        await execute(sql, batch, (values, names) =>
          rows.push(Object.fromEntries(names.map((name, at) => [name, values[at]])) as R),
        );
        return rows;
      }),
    async *stream(sql) {
      const held: Value[][] = [];
      let request: Request | undefined;
      let ended = false;
      let failure: unknown;
      let wake = () => {};
      const done = inTurn(() =>
        execute(sql, batch, (values, _, own) => {
          request = own;
          held.push(values);
          if (held.length >= ROWS_HELD) own.pause();
          wake();
        }),
      )
        .catch((error: unknown) => {
          failure = error;
        })
        .finally(() => {
          ended = true;
          wake();
        });
      try {
        for (;;) {
          const batchOfRows = held.splice(0);
          yield* batchOfRows;
          if (held.length > 0) continue;
          if (ended) break;
          const more = new Promise<void>((resolve) => {
            wake = resolve;
          });
          request?.resume();
          if (held.length === 0 && !ended) await more;
        }
        if (failure !== undefined) throw failure;
      } finally {
        if (!ended) {
          client.cancel();
          request?.resume();
          await done;
        }
      }
    },
    runWith: (sql, parameter) =>
      inTurn(() =>
        execute(sql, (request) => {
          request.addParameter('p', tedious.TYPES.NVarChar, parameter, { length: Number.POSITIVE_INFINITY });
          client.execSql(request);
        }),
      ),
    run: (sql) =>
      inTurn(async () => {
        said.length = 0;
        await execute(sql, batch);
        return said.splice(0);
      }),
    async close() {
      signal.removeEventListener('abort', destroy);
      client.close();
    },
  };
  await session.run(SETTINGS);
  return session;
}

function connect(client: Client, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let number: number | undefined;
    client.on('errorMessage', (token: { number: number }) => {
      number ??= token.number;
    });
    const aborted = () => reject(abortError(signal));
    if (signal.aborted) return aborted();
    signal.addEventListener('abort', aborted, { once: true });
    client.connect((error) => {
      signal.removeEventListener('abort', aborted);
      if (!error) resolve();
      else reject(number === undefined ? error : Object.assign(error, { number }));
    });
  });
}

async function configuration(
  connection: Connection,
  database: string | undefined,
): Promise<ConnectionConfiguration> {
  const { host, port, instance, ssl } = connection;
  const ca = connection.sslCa === undefined ? undefined : await readFile(connection.sslCa);
  return {
    server: host,
    authentication: {
      type: 'default',
      options: { userName: connection.user ?? '', password: connection.password ?? '' },
    },
    options: {
      ...(instance === undefined ? { port: port! } : { instanceName: instance }),
      ...(database === undefined ? {} : { database }),
      appName: 'dguard',
      connectTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: 0,
      maxRetriesOnTransientErrors: 0,
      encrypt: ssl !== 'disable',
      trustServerCertificate: !ssl.startsWith('verify'),
      ...(ca === undefined ? {} : { cryptoCredentialsDetails: { ca } }),
      rowCollectionOnDone: false,
      rowCollectionOnRequestCompletion: false,
      useColumnNames: false,
      useUTC: true,
    },
  };
}

/**
 * The driver asks for encryption and, where the server says that it has none, sends the password all the same.
 * With `require` and `verify-…` it must not get that far, so its own step of the handshake is watched.
 */
function requireEncryption(client: Client, { ssl, host }: Connection): void {
  if (ssl === 'disable' || ssl === 'prefer') return;
  type Negotiate = (prelogin: { encryptionString?: string }, signal: AbortSignal) => Promise<void>;
  const internals = client as unknown as { performTlsNegotiation?: Negotiate };
  const negotiate = internals.performTlsNegotiation?.bind(client);
  if (negotiate === undefined) {
    throw new DguardError('internal', 'this version of the driver cannot be made to insist on encryption', {
      operation: 'connect',
      subject: host,
    });
  }
  internals.performTlsNegotiation = async (prelogin, signal) => {
    if (!['ON', 'REQ'].includes(prelogin.encryptionString ?? '')) {
      throw new DguardError('source_failed', `the server offers no encryption, and ssl: ${ssl} asks for it`, {
        operation: 'connect',
        subject: host,
        hint: 'give the server a certificate, or say ssl: prefer where the network is trusted',
      });
    }
    await negotiate(prelogin, signal);
  };
}
