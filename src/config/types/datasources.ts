import type { Secret } from '../secret.ts';

export type DatasourceType = 'postgres' | 'mysql' | 'mongodb' | 'sqlserver' | 'sqlite' | 'files';

export type DatasourceConfig =
  | PostgresConfig
  | MysqlConfig
  | MongodbConfig
  | SqlserverConfig
  | SqliteConfig
  | FilesConfig;

interface DatasourceBase {
  readonly name: string;
  readonly tags: readonly string[];
  /** How many undo copies of a restore stay; older ones go with the next restore. Undefined: all stay. */
  readonly undo_keep?: number;
}

export type SslMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

export interface NetworkDatasource extends DatasourceBase {
  /** Undefined where `socket` or `uri` says it. */
  readonly host?: string;
  readonly port?: number;
  /** The databases by name; empty if `all_databases`, or if the uri names it. */
  readonly database: readonly string[];
  /** `database: all`, or of MongoDB nothing that names one: those that exist when the backup begins. */
  readonly all_databases: boolean;
  readonly username?: string;
  readonly password?: Secret;
  readonly ssl?: SslMode;
  /** Absolute paths of PEM files. */
  readonly ssl_ca?: string;
  readonly ssl_cert?: string;
  readonly ssl_key?: string;
  /** A Unix socket, or the folder it lies in. */
  readonly socket?: string;
  /** May hold a password, hence a Secret. */
  readonly uri?: Secret;
  /** Folders to search for the client tools before PATH. */
  readonly client_path: readonly string[];
  /** What to put before the name of a client tool, `[docker, exec, -i, db]`; empty: nothing. */
  readonly client_command: readonly string[];
  /** The system user to run the client tools as (peer authentication). */
  readonly run_as?: string;
}

export interface PostgresConfig extends NetworkDatasource {
  readonly type: 'postgres';
  /** How rows are counted; undefined: exactly. Estimates are not compared after a restore. */
  readonly row_counts?: 'exact' | 'estimate';
  /** False: the globals never hold passwords of roles. Undefined: where they can be read. */
  readonly role_passwords?: boolean;
  /** How long a lock is waited for; undefined: 2 minutes. */
  readonly lock_timeout_ms?: number;
  /** How long one statement may take, of a dump or a restore; undefined: as long as it takes. */
  readonly statement_timeout_ms?: number;
}
export interface MysqlConfig extends NetworkDatasource {
  readonly type: 'mysql';
  /** Tables without transactions are locked against changes while they are dumped. */
  readonly lock_tables?: boolean;
  /** Accounts and their privileges are a member of each backup. */
  readonly include_users?: boolean;
  /**
   * Where the account may not see procedures and functions of others: `partial` (the default) marks the backup as such,
   * `ignore` says that there are none, or that nobody wants them. No server tells who may not see them whether they exist.
   */
  readonly hidden_routines?: 'partial' | 'ignore';
  /** At restore, whose code is: `keep`, `strip` (the restoring account's), or `user@host`. Default: keep where allowed. */
  readonly definer?: string;
}
export interface MongodbConfig extends NetworkDatasource {
  readonly type: 'mongodb';
  readonly auth_source?: string;
}
export interface SqlserverConfig extends NetworkDatasource {
  readonly type: 'sqlserver';
  /** The folder for native backups as the server sees it: a path of its own, or `s3://host/bucket/folder`. */
  readonly server_path?: string;
  /** The same folder as this host sees it, absolute. */
  readonly local_path?: string;
}
export interface SqliteConfig extends DatasourceBase {
  readonly type: 'sqlite';
  readonly file_path: string;
}
export interface FilesConfig extends DatasourceBase {
  readonly type: 'files';
  readonly source_path: readonly string[];
  /** Empty: everything. */
  readonly include_patterns: readonly string[];
  readonly exclude_patterns: readonly string[];
  readonly one_file_system: boolean;
  /** A folder that holds a file of one of these names is left out. */
  readonly exclude_if_present: readonly string[];
  /** A folder that holds a CACHEDIR.TAG is left out. */
  readonly exclude_caches: boolean;
}
