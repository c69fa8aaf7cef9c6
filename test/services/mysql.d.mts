export type MysqlServerName = 'mariadb-10.11' | 'mariadb-11.8' | 'mysql-9.7';

/** A running server, as the tests see it. */
export interface MysqlServer {
  /** What a suite calls it. */
  readonly label: string;
  readonly flavour: 'mysql' | 'mariadb';
  /** The folder of its client tools; undefined: whatever the machine has. */
  readonly bin: string | undefined;
  /** Where MariaDB's clients of an unpacked tree find their authentication plugins. */
  readonly pluginFolder: string | undefined;
  readonly host: string;
  readonly port: number;
  /** The superuser. */
  readonly user: string;
  readonly password: string;
  readonly socket: string | undefined;
  readonly pid: number | undefined;
  /** Ends the process, keeps the data. */
  halt(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again after `halt`. */
  resume(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

export function mysqlPrograms(
  name: string,
): { root: string; bin: string; server: string; pluginFolder: string } | undefined;
export function startMysql(
  name: MysqlServerName,
  options?: { settings?: Record<string, string> },
): Promise<MysqlServer>;
export function externalMysql(): MysqlServer | undefined;
