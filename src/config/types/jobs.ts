import type { Secret } from '../secret.ts';

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
  /** What this job's datasources were called before, each of one of them. */
  readonly formerly: readonly FormerName[];
  /** Recorded in every manifest. */
  readonly tags: Readonly<Record<string, string>>;
}

/** An earlier name of one datasource's history. */
export interface FormerName {
  /** Empty: it was written without one. */
  readonly namespace: string;
  readonly job: string;
  readonly datasource: string;
  /** What it is called now: a datasource of the job, or one database of it (`{datasource}.{database}`). */
  readonly now: string;
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
