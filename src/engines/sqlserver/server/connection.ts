import type { SslMode } from '../../../config/types/datasources.ts';
import { DguardError } from '../../../errors.ts';
import type { SqlserverOptions } from '../options.ts';

/** Where a server is and how to get in, whichever of host and uri said it. */
export interface Connection {
  readonly host: string;
  readonly port?: number;
  /** Of `HOST\INSTANCE`: asked for its port at the SQL Server Browser (UDP 1434). */
  readonly instance?: string;
  readonly user?: string;
  readonly password?: string;
  /** The database of a uri. */
  readonly database?: string;
  readonly ssl: SslMode;
  readonly sslCa?: string;
}

export const CONNECT_TIMEOUT_MS = 10_000;
const DEFAULT_PORT = 1433;

/** Reads a datasource's options. Throws `config_invalid` for what SQL Server has no way to do. */
export function connectionOf(options: SqlserverOptions, subject: string): Connection {
  const refuse = (message: string, hint: string) =>
    new DguardError('config_invalid', message, { operation: 'connect', subject, hint });
  if (options.socket !== undefined)
    throw refuse('SQL Server has no Unix socket', 'give host and port of the datasource');
  if (options.client_command.length > 0 || options.run_as !== undefined)
    throw refuse('no client tool is needed for SQL Server', 'take out client_command and run_as');
  if (options.ssl_cert !== undefined)
    throw refuse('SQL Server knows no client certificates', 'take out ssl_cert and ssl_key');
  const base = options.uri === undefined ? undefined : parseUri(options.uri.reveal(), subject);
  const [host, instance] = (options.host ?? '').split('\\') as [string, string | undefined];
  if (instance !== undefined && options.port !== undefined)
    throw refuse('a named instance and a port are two answers to one question', 'give only one of them');
  const place = base ?? {
    host,
    ...(instance === undefined ? { port: options.port ?? DEFAULT_PORT } : { instance }),
  };
  if (place.host === '') throw refuse('no host is given', 'give the datasource a host');
  return {
    ...place,
    ...(options.username === undefined ? {} : { user: options.username }),
    ...(options.password === undefined ? {} : { password: options.password.reveal() }),
    ...(options.ssl_ca === undefined ? {} : { sslCa: options.ssl_ca }),
    ssl: options.ssl ?? base?.ssl ?? 'prefer',
  };
}

/** `sqlserver://user:password@host:1433/database?encrypt=true&trustServerCertificate=true`; `mssql://` too. */
function parseUri(text: string, subject: string): Connection {
  const invalid = (why: string) =>
    new DguardError('config_invalid', `the uri ${why}`, {
      operation: 'connect',
      subject,
      hint: 'write sqlserver://user:password@host:1433/database?encrypt=true',
    });
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid('is not one that can be read');
  }
  if (!/^(sqlserver|mssql):$/.test(url.protocol))
    throw invalid('does not begin with sqlserver:// or mssql://');
  let encrypt: string | undefined;
  let trust = false;
  for (const [name, value] of url.searchParams) {
    const isFlag = value === 'true' || value === 'false';
    if (name === 'encrypt' && isFlag) encrypt = value;
    else if (name === 'trustServerCertificate' && isFlag) trust = value === 'true';
    else throw invalid(`has the parameter ${name}=${value}, which is not known`);
  }
  const ssl =
    encrypt === undefined ? 'prefer' : encrypt === 'false' ? 'disable' : trust ? 'require' : 'verify-full';
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const database = decodeURIComponent(url.pathname.replace(/^\//, ''));
  return {
    host: decodeURIComponent(host),
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(database === '' ? {} : { database }),
    ssl,
  };
}
