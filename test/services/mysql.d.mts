import type { Server } from './server.d.mts';

export type MysqlServerName = 'mariadb-10.11' | 'mariadb-11.8' | 'mysql-9.7';

/** A running server, as the tests see it. */
export interface MysqlServer extends Server {
  readonly flavour: 'mysql' | 'mariadb';
  /** The folder of its client tools; undefined: whatever the machine has. */
  readonly bin: string | undefined;
  /** Where MariaDB's clients of an unpacked tree find their authentication plugins. */
  readonly pluginFolder: string | undefined;
  readonly socket: string | undefined;
}

export function mysqlPrograms(
  name: string,
): { root: string; bin: string; server: string; pluginFolder: string } | undefined;
export function startMysql(
  name: MysqlServerName,
  options?: { settings?: Record<string, string> },
): Promise<MysqlServer>;
export function externalMysql(): MysqlServer | undefined;
