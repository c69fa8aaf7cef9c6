import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MongoClient, MongoClientOptions } from 'mongodb';
import { abortError, DguardError, throwIfAborted } from '../../../errors.ts';
import { withoutSecrets } from '../../../redact.ts';
import { withSession } from '../../sessions.ts';
import type { EngineSource } from '../../types.ts';
import { giveUpWhenGone } from '../../unbroken.ts';
import type { MongodbOptions } from '../options.ts';

export const CONNECT_TIMEOUT_MS = 10_000;
const DEFAULT_PORT = 27017;

/** Where a server is and how to get in, as the driver wants it. */
export interface Connection {
  readonly uri: string;
  readonly options: MongoClientOptions;
  /** The database of a uri. */
  readonly database?: string;
  /** `host:port`, for identities and messages. */
  readonly place: string;
}

/** Reads a datasource's options. Throws `config_invalid` for a uri that is none of MongoDB's. */
export async function connectionOf(options: MongodbOptions, subject: string): Promise<Connection> {
  const said = (name: string) =>
    options.uri?.reveal().toLowerCase().includes(`${name.toLowerCase()}=`) === true;
  const base: MongoClientOptions = {
    appName: 'dguard',
    ...(said('connectTimeoutMS') ? {} : { connectTimeoutMS: CONNECT_TIMEOUT_MS }),
    ...(said('serverSelectionTimeoutMS') ? {} : { serverSelectionTimeoutMS: CONNECT_TIMEOUT_MS }),
    ...(options.auth_source === undefined ? {} : { authSource: options.auth_source }),
    ...(options.username === undefined
      ? {}
      : { auth: { username: options.username, password: options.password?.reveal() ?? '' } }),
    ...(await tlsOptions(options)),
  };
  if (options.uri !== undefined) return uriConnection(options, base, subject);
  const host =
    options.socket === undefined
      ? `${(options.host ?? '127.0.0.1').replace(/^(.*:.*)$/, '[$1]')}:${options.port ?? DEFAULT_PORT}`
      : encodeURIComponent(options.socket);
  // One server that is named by its host is that one, whatever replica set it may be a member of.
  return { uri: `mongodb://${host}/`, options: { ...base, directConnection: true }, place: host };
}

function uriConnection(options: MongodbOptions, base: MongoClientOptions, subject: string): Connection {
  const uri = options.uri!.reveal();
  const match = /^mongodb(?:\+srv)?:\/\/(?:[^@/]*@)?([^/?]+)(?:\/([^?]*))?(?:\?.*)?$/s.exec(uri);
  if (!match) {
    throw new DguardError('config_invalid', 'the uri is not one that can be read', {
      operation: 'connect',
      subject,
      hint: 'write mongodb://user:password@host:27017/database?replicaSet=rs0',
    });
  }
  const [, place, path] = match;
  const database = path === undefined || path === '' ? undefined : decodeURIComponent(path);
  return { uri, options: base, place: place!, ...(database === undefined ? {} : { database }) };
}

/** `prefer` cannot be had from this protocol: without `ssl`, the uri or plain text. */
async function tlsOptions(options: MongodbOptions): Promise<MongoClientOptions> {
  const { ssl } = options;
  if (ssl === undefined || ssl === 'prefer') return {};
  if (ssl === 'disable') return { tls: false };
  const read = async (path: string | undefined) => (path === undefined ? undefined : await readFile(path));
  const [cert, key] = await Promise.all([options.ssl_cert, options.ssl_key].map(read));
  const checks = ssl.startsWith('verify') || options.ssl_ca !== undefined;
  return {
    tls: true,
    ...(options.ssl_ca === undefined ? {} : { tlsCAFile: options.ssl_ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(checks ? {} : { tlsAllowInvalidCertificates: true }),
    ...(ssl === 'verify-full' ? {} : { tlsAllowInvalidHostnames: true }),
  };
}

/** A server, while it is talked to. */
export interface Server {
  readonly source: EngineSource<MongodbOptions>;
  readonly connection: Connection;
  readonly client: MongoClient;
  /**
   * From here on an interrupt breaks no connection: what was begun is ended, or put back, by whoever began it, and all
   * that the server was told is known to be done. Unless it answers no more: then they are broken nevertheless.
   */
  outlastInterrupt(): void;
  close(): Promise<void>;
}

/** How long a server may take to hear that its sessions end. */
const GOODBYE_MS = 2000;

/**
 * Connects and authenticates. Throws the driver's errors; an abort breaks every connection. To write, all is
 * read where it is written, whatever the uri prefers: a secondary may not know of the latest mark yet.
 */
export async function openServer(
  source: EngineSource<MongodbOptions>,
  purpose: 'read' | 'write' = 'read',
): Promise<Server> {
  throwIfAborted(source.signal);
  const connection = await connectionOf(source.options, source.name);
  const { MongoClient } = await import('mongodb');
  const invalid = (error: unknown) =>
    new DguardError(
      'config_invalid',
      `the driver refuses the datasource: ${redacted(error, source.options)}`,
      {
        operation: 'connect',
        subject: source.name,
        hint: 'check uri, ssl and auth_source of the datasource',
      },
    );
  let client: MongoClient;
  try {
    const where: MongoClientOptions = purpose === 'write' ? { readPreference: 'primary' } : {};
    client = new MongoClient(connection.uri, { ...connection.options, ...where });
  } catch (error) {
    throw invalid(error);
  }
  const abort = () => void client.close(true).catch(() => {});
  source.signal.addEventListener('abort', abort, { once: true });
  let unheard = () => source.signal.removeEventListener('abort', abort);
  const close = async () => {
    unheard();
    const said = new AbortController();
    const waited = sleep(GOODBYE_MS, undefined, { signal: said.signal }).catch(() => {});
    // The driver waits for ever to write to a socket that the server has closed in this very moment.
    await Promise.race([client.close(true).catch(() => {}), waited]);
    said.abort();
  };
  const outlastInterrupt = () => {
    unheard();
    const unbroken = { ...source, signal: new AbortController().signal };
    const ask = () =>
      withSession(
        () => openServer(unbroken, purpose),
        async () => {},
      );
    unheard = giveUpWhenGone(source.signal, ask, abort);
  };
  try {
    await client.connect();
  } catch (error) {
    await close();
    if (source.signal.aborted) throw abortError(source.signal);
    if ((error as { name?: string }).name === 'MongoParseError') throw invalid(error);
    throw error;
  }
  return { source, connection, client, outlastInterrupt, close };
}

function redacted(error: unknown, options: MongodbOptions): string {
  const secrets = [options.uri?.reveal(), options.password?.reveal()].filter((text) => text !== undefined);
  return withoutSecrets(error instanceof Error ? error.message : String(error), secrets);
}

/** The database of a source that names just one. */
export function onlyDatabase({ connection, source: { options, name } }: Server): string {
  const named = options.database[0] ?? connection.database;
  if (named !== undefined && options.database.length < 2 && !options.all_databases) return named;
  throw new DguardError('usage', 'the datasource does not name exactly one database', {
    operation: 'choose database',
    subject: name,
    hint: 'say which one: --to-database NAME, or database: NAME in the configuration',
  });
}
