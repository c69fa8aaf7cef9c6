/** What an engine says of a source's health. */
export type Health = {
  readonly status: 'ok' | 'timeout' | 'auth_failed' | 'unreachable' | 'error';
  readonly message?: string;
  /** Until it was connected and authenticated. */
  readonly latencyMs?: number;
  readonly serverVersion?: string;
  /** Of all databases of the datasource, as far as the server tells. */
  readonly sizeBytes?: number;
  /**
   * What else is known, by names in snake_case. The same thing has the same name in every engine:
   * `uptime_seconds`, `connections`, `active_queries`, `max_connections`, `free_bytes` (of its disk).
   */
  readonly facts?: Readonly<Record<string, string | number>>;
  /** What killed restores left on the server, where looking for it costs little. */
  readonly leftovers?: readonly { readonly name: string; readonly message: string }[];
};

export interface DiagnoseRequest {
  /** A job that backs the source up, for the commands in fixes; undefined where none does. */
  readonly job?: string;
}

/** One thing that `doctor` found. */
export interface Finding {
  /** `problem`: a backup or a restore fails, or holds less; `warning`: one may; `notice`: good to know. */
  readonly severity: 'problem' | 'warning' | 'notice';
  /** What it is about, for scripts. */
  readonly topic: FindingTopic;
  /** The database, file or place, where it is not the whole of what was looked at. */
  readonly subject?: string;
  /** What is, and what follows from it. */
  readonly message: string;
  readonly fix?: Fix;
}

export type FindingTopic =
  | 'connection'
  | 'privileges'
  | 'tools'
  | 'consistency'
  | 'locks'
  | 'replication'
  | 'space'
  | 'clock'
  | 'leftovers'
  | 'permissions'
  | 'support';

/** What mends a finding, ready to be run or written as it stands. */
export interface Fix {
  /** `sql`: as an administrator of the server; `shell`: here, as root where it must be; `config`: into backup.yaml. */
  readonly by: 'sql' | 'shell' | 'config';
  /** The database to be connected to, where it matters. */
  readonly database?: string;
  readonly lines: readonly string[];
}
