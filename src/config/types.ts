import type { DatasourceConfig } from './types/datasources.ts';
import type { DestinationConfig } from './types/destinations.ts';
import type { JobConfig } from './types/jobs.ts';
import type { NotificationConfig } from './types/notifications.ts';

/**
 * The configuration as the rest of dguard sees it: checked, with defaults filled in, and normalised, so
 * that inner code never asks. Keys are those of the YAML file, except that
 * - durations are milliseconds and end in `_ms` (`full_every: 7d` becomes `full_every_ms`),
 * - what may be one value or a list in YAML is a list,
 * - `password`, `password_file` and `password_command` are one `password`, a Secret,
 * - paths are absolute.
 *
 * The sections lie in types/, one file each, as in schema/. Types only: importing them loads nothing.
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
