import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SslMode } from '../../../config/types/datasources.ts';
import { DguardError } from '../../../errors.ts';
import type { PostgresOptions } from '../options.ts';

/** Where a server is and how to get in, whichever of host, socket and uri said it. */
export interface Connection {
  /** A host, or the folder of a socket (absolute); undefined: the client's default. */
  readonly host?: string;
  readonly port?: number;
  readonly user?: string;
  readonly password?: string;
  /** The database of a uri. */
  readonly database?: string;
  readonly ssl: SslMode;
  readonly sslCa?: string;
  readonly sslCert?: string;
  readonly sslKey?: string;
  /** The client tools run elsewhere or as somebody else, and so does every query. */
  readonly viaTools: boolean;
  /** Of every session, as libpq's `options`. */
  readonly settings: string;
}

export const CONNECT_TIMEOUT_S = 10;

/** A system's bundle of authorities: what `verify-*` means where no `ssl_ca` is given. */
const SYSTEM_AUTHORITIES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
];

/** Reads a datasource's options. Throws `config_invalid` for a uri that is none of PostgreSQL's. */
export function connectionOf(options: PostgresOptions, subject: string): Connection {
  const common = {
    ...(options.ssl_cert === undefined ? {} : { sslCert: options.ssl_cert }),
    ...(options.ssl_key === undefined ? {} : { sslKey: options.ssl_key }),
    viaTools: options.client_command.length > 0 || options.run_as !== undefined,
    settings: sessionSettings(options.statement_timeout_ms ?? 0),
  };
  if (options.uri !== undefined) {
    const uri = parseUri(options.uri.reveal(), subject);
    const ca = options.ssl_ca ?? uri.sslCa;
    return {
      ...uri,
      ...(options.username === undefined ? {} : { user: options.username }),
      ...(options.password === undefined ? {} : { password: options.password.reveal() }),
      ...common,
      ...authorities(options.ssl ?? uri.ssl, ca),
      ssl: options.ssl ?? uri.ssl,
    };
  }
  const ssl = options.ssl ?? 'prefer';
  return {
    ...placeOf(options),
    ...(options.username === undefined ? {} : { user: options.username }),
    ...(options.password === undefined ? {} : { password: options.password.reveal() }),
    ...common,
    ...authorities(ssl, options.ssl_ca),
    ssl,
  };
}

function authorities(ssl: SslMode, ca: string | undefined): { sslCa?: string } {
  const found = ca ?? (ssl.startsWith('verify') ? SYSTEM_AUTHORITIES.find(existsSync) : undefined);
  return found === undefined ? {} : { sslCa: found };
}

/** A socket is named by itself (`/run/postgresql/.s.PGSQL.5432`) or by its folder. */
function placeOf(options: PostgresOptions): { host?: string; port?: number } {
  const port = options.port === undefined ? {} : { port: options.port };
  if (options.socket === undefined)
    return options.host === undefined ? port : { host: options.host, ...port };
  const named = /^(.+)\/\.s\.PGSQL\.(\d+)$/.exec(options.socket);
  return named ? { host: named[1]!, port: Number(named[2]) } : { host: options.socket, ...port };
}

/** https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING, of one host. */
function parseUri(text: string, subject: string): Omit<Connection, 'viaTools' | 'settings'> {
  const invalid = (why: string) =>
    new DguardError('config_invalid', `the uri ${why}`, {
      operation: 'connect',
      subject,
      hint: 'write postgres://user:password@host:5432/database?sslmode=require',
    });
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid('is not one that can be read');
  }
  if (!/^postgres(ql)?:$/.test(url.protocol)) throw invalid('does not begin with postgres://');
  const known = new Set(['sslmode', 'sslrootcert', 'host', 'port', 'user', 'password', 'dbname']);
  for (const name of url.searchParams.keys())
    if (!known.has(name)) throw invalid(`has an unknown parameter ${name}`);
  const parameter = (name: string, other: string) => url.searchParams.get(name) ?? decodeURIComponent(other);
  const host = parameter('host', url.hostname.replace(/^\[(.*)\]$/, '$1'));
  const port = parameter('port', url.port);
  const user = parameter('user', url.username);
  const password = parameter('password', url.password);
  const database = parameter('dbname', url.pathname.replace(/^\//, ''));
  const ssl = url.searchParams.get('sslmode') ?? 'prefer';
  const modes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'];
  if (!modes.includes(ssl)) throw invalid(`has the sslmode ${ssl}; known are ${modes.join(', ')}`);
  const sslCa = url.searchParams.get('sslrootcert');
  return {
    ...(host === '' ? {} : { host }),
    ...(port === '' ? {} : { port: Number(port) }),
    ...(user === '' ? {} : { user }),
    ...(password === '' ? {} : { password }),
    ...(database === '' ? {} : { database }),
    ...(sslCa === null ? {} : { sslCa }),
    ssl: ssl as SslMode,
  };
}

/**
 * Settings of every session of dguard's, whatever the role's and the database's own are: a statement takes as
 * long as the configuration lets it, and what the server writes of values and definitions is written alike.
 */
const SESSION_SETTINGS = [
  'idle_in_transaction_session_timeout=0',
  'client_min_messages=warning',
  'row_security=off',
  'datestyle=ISO,MDY',
  'intervalstyle=postgres',
  'timezone=UTC',
  'extra_float_digits=3',
  'bytea_output=hex',
  'quote_all_identifiers=off',
  'standard_conforming_strings=on',
  'array_nulls=on',
  // The same rows come in the same order.
  'synchronize_seqscans=off',
  'xmloption=content',
  // Of a database that is only read otherwise: a restore fills its new one.
  'default_transaction_read_only=off',
];

/**
 * Turns limits off that a role or database may have, and that not every server knows: what it does not know, no session
 * may ask for when it begins.
 */
export const WITHOUT_LIMITS = `SELECT pg_catalog.count(pg_catalog.set_config(name, '0', false)) AS dguard
  FROM pg_catalog.pg_settings WHERE name IN ('transaction_timeout', 'idle_session_timeout')`;

/** How each script for psql begins: no limits, nothing said, and in UTF-8 whatever the database is in. */
export const SCRIPT_HEAD = `SET client_encoding TO 'UTF8';\n${WITHOUT_LIMITS.replace(/\s+/g, ' ')} \\gset\n`;

/** How psql runs a script: its own profile unread, answers bare, its first error its end. */
export const SCRIPT_FLAGS = ['-X', '-q', '-A', '-t', '--no-password', '-v', 'ON_ERROR_STOP=1'] as const;

function sessionSettings(statementTimeoutMs: number): string {
  return [`statement_timeout=${statementTimeoutMs}`, ...SESSION_SETTINGS].map(asOption).join(' ');
}

/**
 * Of sessions that write or read amounts of money as text: a role and a database may each have a locale of their own, which
 * another server may not know. `C` is on every server.
 */
export const MONEY_LOCALE = 'C';
export const MONEY = `lc_monetary=${MONEY_LOCALE}`;
/** The same, as a statement. */
export const SET_MONEY = `SET lc_monetary TO '${MONEY_LOCALE}'`;

/** A blank within a value ends no option behind a backslash. */
function asOption(setting: string): string {
  return `-c ${setting.replace(/[\\ ]/g, '\\$&')}`;
}

/**
 * The `dbname` argument of a client tool: a connection string without its password. It works where an
 * environment does not reach (docker exec), and no `PG…` variable changes it. `settings`: more of its sessions', as
 * `name=value`.
 */
export function conninfo(
  connection: Connection,
  database: string,
  passfile: string | undefined,
  settings: readonly string[] = [],
): string {
  const parts: Record<string, string | number | undefined> = {
    host: connection.host,
    port: connection.port,
    user: connection.user,
    dbname: database,
    sslmode: connection.ssl,
    sslrootcert: connection.sslCa,
    sslcert: connection.sslCert,
    sslkey: connection.sslKey,
    passfile,
    connect_timeout: CONNECT_TIMEOUT_S,
    application_name: 'dguard',
    options: [connection.settings, ...settings.map(asOption)].join(' '),
  };
  return Object.entries(parts)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}='${String(value).replace(/[\\']/g, '\\$&')}'`)
    .join(' ');
}

/**
 * Writes the password file of a connection, mode 0600, into `folder`; undefined where there is no password,
 * and the user's own ~/.pgpass may have it. Neither arguments nor environment of a child ever hold it.
 */
export async function writePassfile(connection: Connection, folder: string): Promise<string | undefined> {
  if (connection.password === undefined) return undefined;
  const path = join(folder, `pgpass-${randomBytes(6).toString('hex')}`);
  const line = `*:*:*:*:${connection.password.replace(/[\\:]/g, '\\$&')}\n`;
  await writeFile(path, line, { mode: 0o600, flag: 'wx' });
  return path;
}

/**
 * What client tools inherit: no `PG…` variable of ours, as they would change where they connect to, and no language:
 * what they say is read here, not least to take secrets out of it.
 */
export function toolEnvironment({
  LC_ALL,
  ...env
}: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  const kept = Object.entries(env).filter(([name]) => !/^PG[A-Z]/.test(name) || name === 'PGPASSFILE');
  // LC_ALL goes before LC_MESSAGES; of what it says they still need the encoding.
  return { ...Object.fromEntries(kept), ...(LC_ALL ? { LC_CTYPE: LC_ALL } : {}), LC_MESSAGES: 'C' };
}
