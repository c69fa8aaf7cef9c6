import type { SslMode } from '../../../config/types/datasources.ts';
import { DguardError } from '../../../errors.ts';
import type { MysqlOptions } from '../options.ts';

/** Where a server is and how to get in, whichever of host, socket and uri said it. */
export interface Connection {
  readonly host?: string;
  readonly port?: number;
  /** Absolute path of a Unix socket. */
  readonly socket?: string;
  readonly user?: string;
  readonly password?: string;
  /** The database of a uri. */
  readonly database?: string;
  readonly ssl: SslMode;
  readonly sslCa?: string;
  readonly sslCert?: string;
  readonly sslKey?: string;
}

export const CONNECT_TIMEOUT_S = 10;
const DEFAULT_SOCKETS_HOST = 'localhost';

/** Reads a datasource's options. Throws `config_invalid` for a uri that is none of MySQL's. */
export function connectionOf(options: MysqlOptions, subject: string): Connection {
  const base = options.uri === undefined ? undefined : parseUri(options.uri.reveal(), subject);
  const own = {
    ...(options.host === undefined ? {} : { host: options.host }),
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.socket === undefined ? {} : { socket: options.socket }),
    ...(options.username === undefined ? {} : { user: options.username }),
    ...(options.password === undefined ? {} : { password: options.password.reveal() }),
    ...(options.ssl_ca === undefined ? {} : { sslCa: options.ssl_ca }),
    ...(options.ssl_cert === undefined ? {} : { sslCert: options.ssl_cert }),
    ...(options.ssl_key === undefined ? {} : { sslKey: options.ssl_key }),
  };
  const merged = { ...base, ...own, ssl: options.ssl ?? base?.ssl ?? 'prefer' };
  if (merged.socket === undefined && merged.host === undefined)
    return { ...merged, host: DEFAULT_SOCKETS_HOST };
  return merged;
}

/** `mysql://user:password@host:3306/database?ssl-mode=REQUIRED`, `mariadb://` too. */
function parseUri(text: string, subject: string): Connection {
  const invalid = (why: string) =>
    new DguardError('config_invalid', `the uri ${why}`, {
      operation: 'connect',
      subject,
      hint: 'write mysql://user:password@host:3306/database?ssl-mode=REQUIRED',
    });
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw invalid('is not one that can be read');
  }
  if (!/^(mysql|mariadb):$/.test(url.protocol)) throw invalid('does not begin with mysql:// or mariadb://');
  const modes: Record<string, SslMode> = {
    disabled: 'disable',
    preferred: 'prefer',
    required: 'require',
    verify_ca: 'verify-ca',
    verify_identity: 'verify-full',
  };
  let ssl: SslMode = 'prefer';
  let socket: string | undefined;
  for (const [name, value] of url.searchParams) {
    if (name === 'socket') socket = value;
    else if (name === 'ssl-mode' && modes[value.toLowerCase()]) ssl = modes[value.toLowerCase()]!;
    else if (name === 'ssl-mode')
      throw invalid(`has the ssl-mode ${value}; known are ${Object.keys(modes).join(', ')}`);
    else throw invalid(`has an unknown parameter ${name}`);
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const database = decodeURIComponent(url.pathname.replace(/^\//, ''));
  return {
    ...(host === '' ? {} : { host }),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    ...(socket === undefined ? {} : { socket }),
    ...(url.username === '' ? {} : { user: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(database === '' ? {} : { database }),
    ssl,
  };
}

export type Flavour = 'mysql' | 'mariadb';

/**
 * The text of an option file for client tools: all that says where and who, so that neither arguments nor
 * environment hold a secret. https://dev.mysql.com/doc/refman/8.4/en/option-files.html
 */
export function optionFileText(connection: Connection, flavour: Flavour): string {
  const { host, port, socket, user, password, ssl } = connection;
  const lines: [string, string | number | undefined][] = [
    ['host', socket === undefined ? host : undefined],
    ['port', port],
    ['socket', socket],
    // A client takes `localhost` for its socket, whatever the port says.
    [
      'protocol',
      socket !== undefined ? 'socket' : port === undefined && host === 'localhost' ? undefined : 'tcp',
    ],
    ['user', user],
    ['password', password],
    ['ssl-ca', connection.sslCa],
    ['ssl-cert', connection.sslCert],
    ['ssl-key', connection.sslKey],
    ...(socket === undefined ? sslLines(ssl, flavour) : []),
  ];
  const written = lines.flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${quoted(String(value))}`],
  );
  return `[client]\n${written.join('\n')}\n`;
}

function sslLines(ssl: SslMode, flavour: Flavour): [string, string][] {
  if (flavour === 'mysql') {
    const modes = {
      disable: 'DISABLED',
      prefer: 'PREFERRED',
      require: 'REQUIRED',
      'verify-ca': 'VERIFY_CA',
      'verify-full': 'VERIFY_IDENTITY',
    };
    // Without TLS a password is sent under the server's key; clients older than 8 know neither.
    return [
      ['ssl-mode', modes[ssl]],
      ['loose-get-server-public-key', '1'],
    ];
  }
  // MariaDB 11.4 and newer check the certificate unless told otherwise.
  if (ssl === 'disable') return [['ssl', '0']];
  if (ssl === 'prefer') return [['ssl-verify-server-cert', '0']];
  if (ssl === 'require')
    return [
      ['ssl', '1'],
      ['ssl-verify-server-cert', '0'],
    ];
  // It has no mode that checks the authority but not the name.
  return [
    ['ssl', '1'],
    ['ssl-verify-server-cert', '1'],
  ];
}

function quoted(text: string): string {
  const escaped = text
    .replace(/[\\"]/g, '\\$&')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t');
  return `"${escaped}"`;
}

/** What client tools inherit: no variable of theirs, as it would change where they connect to, and as whom. */
export function toolEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(MYSQL|MARIADB|LIBMYSQL)_(?!PLUGIN_DIR$)/.test(name)),
  );
}
