import type { Secret } from './secret.ts';

/**
 * The configuration as the rest of dguard sees it: checked, with defaults filled in, and normalised, so
 * that inner code never asks. Keys are those of the YAML file, except that
 * - durations are milliseconds and end in `_ms` (`full_every: 7d` becomes `full_every_ms`),
 * - what may be one value or a list in YAML is a list,
 * - `password`, `password_file` and `password_command` are one `password`, a Secret,
 * - paths are absolute.
 *
 * Types only: importing this file loads nothing.
 */
export interface Config {
  readonly version: 1;
  readonly defaults: DefaultsConfig;
  readonly datasources: Readonly<Record<string, DatasourceConfig>>;
  readonly destinations: Readonly<Record<string, DestinationConfig>>;
  readonly jobs: Readonly<Record<string, JobConfig>>;
  readonly notifications: Readonly<Record<string, NotificationConfig>>;
}

export interface DefaultsConfig {
  /** IANA name; buckets of retention and schedules are in it. */
  readonly timezone: string;
  /** Absolute; undefined: the system's. */
  readonly temp_dir?: string;
  readonly max_concurrent_backups: number;
  /** Groups the history of several installations that share a destination; empty: none. */
  readonly namespace: string;
  /** What names this host in identities and paths; undefined: the host's own name. */
  readonly host?: string;
}

// ---------------------------------------------------------------------------------------- datasources

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
  /** `database: all`: those that exist when the backup begins. */
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

// --------------------------------------------------------------------------------------- destinations

export type DestinationType = 'local' | 's3' | 'minio' | 'backblaze' | 'sftp' | 'ssh' | 'rclone';

export type DestinationConfig =
  | LocalConfig
  | S3Config
  | MinioConfig
  | BackblazeConfig
  | SftpConfig
  | RcloneConfig;

interface DestinationBase {
  readonly name: string;
  /** Folder of a backup, always with `{id}`; default `{job}/{datasource}/{id}`. */
  readonly path_template: string;
  /** When it is offline, a run without it is no failure (exit 75). */
  readonly optional: boolean;
}

export interface LocalConfig extends DestinationBase {
  readonly type: 'local';
  /** Absolute. */
  readonly path: string;
  /** In GiB. */
  readonly max_size_gb?: number;
  /** True: the path itself must be a mount point; a path: the folder at or above it that must be one. */
  readonly must_be_mounted: boolean | string;
}

/** What S3, MinIO and other S3-compatible services share. */
export interface S3Common extends DestinationBase {
  readonly endpoint?: string;
  readonly bucket: string;
  readonly region?: string;
  /** Without a leading or trailing `/`; empty: none. */
  readonly prefix: string;
  /** Both or neither; neither: the default AWS chain. */
  readonly access_key_id?: string;
  readonly secret_access_key?: Secret;
  readonly session_token?: Secret;
  readonly storage_class?: string;
  readonly server_side_encryption?: 'AES256' | 'aws:kms' | 'aws:kms:dsse';
  readonly kms_key_id?: string;
  readonly object_lock?: ObjectLockConfig;
  /** Undefined: path style wherever an endpoint is given. */
  readonly force_path_style?: boolean;
}
export interface S3Config extends S3Common {
  readonly type: 's3';
}
export interface MinioConfig extends S3Common {
  readonly type: 'minio';
  readonly endpoint: string;
}
export interface ObjectLockConfig {
  readonly mode: 'governance' | 'compliance';
  readonly retain_for_ms: number;
}
export interface BackblazeConfig extends DestinationBase {
  readonly type: 'backblaze';
  readonly bucket_name: string;
  readonly application_key_id: string;
  readonly application_key: Secret;
  readonly prefix: string;
}
export interface SftpConfig extends DestinationBase {
  readonly type: 'sftp' | 'ssh';
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password?: Secret;
  /** The key's text, wherever it came from. */
  readonly private_key?: Secret;
  /** Its absolute path, where it came from a file (for clients that want one). */
  readonly private_key_file?: string;
  readonly passphrase?: Secret;
  /** Absolute path; undefined: the user's own. */
  readonly known_hosts?: string;
  /** Public keys (`ssh-ed25519 AAAA…`) or fingerprints (`SHA256:…`) to accept; empty: known_hosts decides. */
  readonly host_key: readonly string[];
  readonly remote_path: string;
}
export interface RcloneConfig extends DestinationBase {
  readonly type: 'rclone';
  /** `name:path` of rclone's own configuration. */
  readonly remote: string;
  /** rclone's configuration file, absolute; undefined: its own default. */
  readonly config_file?: string;
}

// ----------------------------------------------------------------------------------------------- jobs

export type BackupType = 'full' | 'incremental' | 'differential' | 'snapshot' | 'checkpoint';
export type Strategy = 'all' | 'any' | 'priority';
export type Compression = 'zstd' | 'gzip' | 'lz4' | 'brotli' | 'deflate' | 'none';

export interface JobConfig {
  readonly name: string;
  readonly datasources: readonly string[];
  /** In order; `retention` replaces the job's at this destination, already filled in where it does not. */
  readonly destinations: readonly JobDestination[];
  readonly strategy: Strategy;
  readonly schedule: readonly ScheduleEntry[];
  readonly timezone: string;
  readonly type: BackupType;
  /** An incremental or differential chain begins anew when its full is older than this. */
  readonly full_every_ms?: number;
  /** How long a snapshot is kept; undefined: until it is deleted. */
  readonly expires_ms?: number;
  readonly retention: RetentionPolicy;
  readonly options: JobOptions;
  readonly encryption?: EncryptionConfig;
  readonly hooks: HooksConfig;
  /** Names of notifications. */
  readonly notify: readonly string[];
  /** Time limit of one run. */
  readonly timeout_ms?: number;
  /** How often a failed run is tried again. */
  readonly retries: number;
  readonly gate: GateConfig;
  /** Two identities under one name are known to be the same source. */
  readonly same_source: boolean;
  /** Earlier `job/datasource` names whose history belongs to this job. */
  readonly formerly: readonly string[];
  /** Recorded in every manifest. */
  readonly tags: Readonly<Record<string, string>>;
}

export interface JobDestination {
  readonly name: string;
  readonly retention: RetentionPolicy;
}

export interface ScheduleEntry {
  /** Five fields, or `@daily` and its like. */
  readonly cron: string;
  readonly type: BackupType;
}

/** No rule at all keeps everything. */
export interface RetentionPolicy {
  readonly keep_last?: number;
  readonly keep_hourly?: number;
  readonly keep_daily?: number;
  readonly keep_weekly?: number;
  readonly keep_monthly?: number;
  readonly keep_yearly?: number;
  readonly keep_within_ms?: number;
  /** Caps: applied after the rules above. */
  readonly max_backups?: number;
  /** In GiB. */
  readonly max_total_gb?: number;
  readonly auto_delete: boolean;
}

export interface JobOptions {
  readonly compression: Compression;
  /** Set for every codec that has levels. */
  readonly compression_level?: number;
  readonly format: 'native' | 'jsonl';
  /** Undefined: one connection reads a backup, and a restore has as many as the engine thinks good. */
  readonly parallel_jobs?: number;
  /** Globs; empty: all. */
  readonly include_tables: readonly string[];
  readonly exclude_tables: readonly string[];
  /** Artifacts are split into parts of this many MiB. */
  readonly max_file_size_mb?: number;
  /** Bytes per second, to each destination. */
  readonly bandwidth_limit_bytes?: number;
  readonly self_dedup: boolean;
}

/** When a backup is doubted, measured against the last good one. */
export interface GateConfig {
  readonly enabled: boolean;
  /** Less than this share of the last good one is suspect; 0: not looked at. */
  readonly min_size_percent: number;
  readonly min_rows_percent: number;
  readonly min_files_percent: number;
  /** Nothing where there was something is no reason for doubt. */
  readonly allow_empty: boolean;
  /** This many runs alike in a row end the doubt; undefined: only `accept` does. */
  readonly accept_after?: number;
}

/** At least one of passphrase, key and recipients. */
export interface EncryptionConfig {
  readonly passphrase?: Secret;
  readonly kdf: 'scrypt' | 'pbkdf2';
  /** Base64 of exactly 32 bytes, whether the file held them raw, as hex or as base64. */
  readonly key?: Secret;
  /** X25519 public keys. */
  readonly recipients: readonly string[];
  /** X25519 private keys as text, one per line: to read what was written for recipients. */
  readonly identity?: Secret;
}

/** A string is run by `sh -c`, an array is a program and its arguments. */
export type HookCommand = string | readonly string[];

export interface HooksConfig {
  readonly before: readonly HookCommand[];
  readonly after: readonly HookCommand[];
  readonly on_success: readonly HookCommand[];
  readonly on_error: readonly HookCommand[];
}

// -------------------------------------------------------------------------------------- notifications

export type NotificationType = 'webhook' | 'smtp' | 'ping';

export type NotificationEvent =
  | 'backup_success'
  | 'backup_failed'
  | 'backup_suspect'
  | 'verify_failed'
  | 'restore_completed'
  | 'restore_failed'
  | 'cleanup_completed'
  | 'connection_lost'
  | 'storage_full'
  | 'storage_unreachable'
  | 'health_degraded'
  | 'stale';

export type NotificationConfig = WebhookConfig | SmtpConfig | PingConfig;

interface NotificationBase {
  readonly name: string;
  readonly events: readonly NotificationEvent[];
  readonly timeout_ms: number;
}

export interface WebhookConfig extends NotificationBase {
  readonly type: 'webhook';
  /** Absent only with the preset telegram, whose address follows from `token`. */
  readonly url?: Secret;
  readonly preset: 'json' | 'slack' | 'discord' | 'telegram' | 'ntfy';
  readonly headers: Readonly<Record<string, Secret>>;
  /** telegram: the bot's; ntfy: an access token. */
  readonly token?: Secret;
  /** telegram only. */
  readonly chat_id?: string;
}
export interface SmtpConfig extends NotificationBase {
  readonly type: 'smtp';
  readonly host: string;
  readonly port: number;
  readonly security: 'starttls' | 'tls' | 'none';
  readonly username?: string;
  readonly password?: Secret;
  readonly from: string;
  readonly to: readonly string[];
}
export interface PingConfig extends NotificationBase {
  readonly type: 'ping';
  /** Success is sent here, start to `url/start`, failure to `url/fail`. */
  readonly url: Secret;
}
