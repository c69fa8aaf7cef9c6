import { parseDuration } from '../plan/duration.ts';
import { COMPRESSION_LEVELS, DEFAULT_COMPRESSION } from './levels.ts';
import type { DatasourceInput } from './schema/datasources.ts';
import type { DestinationInput } from './schema/destinations.ts';
import type { JobInput, RetentionInput } from './schema/jobs.ts';
import type { NotificationInput } from './schema/notifications.ts';
import type { RootInput } from './schema/root.ts';
import type { Secret } from './secret.ts';
import type { Secrets } from './secrets.ts';
import { parseSize } from './size.ts';
import { DEFAULT_PATH_TEMPLATE } from './template.ts';
import type { TreePath } from './tree.ts';
import type { DatasourceConfig } from './types/datasources.ts';
import type { DestinationConfig, MinioConfig, S3Config } from './types/destinations.ts';
import type { EncryptionConfig, JobConfig, JobOptions, RetentionPolicy } from './types/jobs.ts';
import type { NotificationConfig, NotificationEvent } from './types/notifications.ts';
import type { Config } from './types.ts';

/** Checked input as the rest of dguard wants it: defaults filled in, durations in milliseconds, secrets wrapped. */
export function normalise(input: RootInput, secrets: Secrets, localTimezone: () => string): Config {
  const { timezone, max_concurrent_backups = 2, namespace = '', ...rest } = input.defaults ?? {};
  return {
    version: 1,
    defaults: given({
      get timezone() {
        return timezone ?? localTimezone();
      },
      max_concurrent_backups,
      namespace,
      ...rest,
    }),
    datasources: mapNames(input.datasources, (name, entry) =>
      datasource(name, entry, under(secrets, ['datasources', name])),
    ),
    destinations: mapNames(input.destinations, (name, entry) =>
      destination(name, entry, under(secrets, ['destinations', name])),
    ),
    jobs: mapNames(input.jobs, (name, entry) =>
      job(name, entry, () => timezone ?? localTimezone(), under(secrets, ['jobs', name])),
    ),
    notifications: mapNames(input.notifications, (name, entry) =>
      normaliseNotification(name, entry, under(secrets, ['notifications', name])),
    ),
  };
}

/** Opens secrets relative to one entry. */
type OwnSecrets = (...path: string[]) => Secret | undefined;

export function under(secrets: Secrets, base: TreePath): OwnSecrets {
  return (...path) => secrets([...base, ...path]);
}

/** Maps without prototype: a name is there only if the configuration defines it. */
function mapNames<In, Out>(
  section: Readonly<Record<string, In>> | undefined,
  make: (name: string, entry: In) => Out,
): Record<string, Out> {
  const made: Record<string, Out> = Object.create(null);
  for (const [name, entry] of Object.entries(section ?? {})) made[name] = make(name, entry);
  return made;
}

function datasource(name: string, input: DatasourceInput, secrets: OwnSecrets): DatasourceConfig {
  const base = { name, tags: input.tags ?? [], undo_keep: input.undo_keep };
  if (input.type === 'sqlite') return given({ ...base, type: input.type, file_path: input.file_path });
  if (input.type === 'files') {
    return given({
      ...base,
      type: input.type,
      source_path: input.source_path,
      include_patterns: input.include_patterns ?? [],
      exclude_patterns: input.exclude_patterns ?? [],
      one_file_system: input.one_file_system ?? false,
      exclude_if_present: input.exclude_if_present ?? [],
      exclude_caches: input.exclude_caches ?? true,
    });
  }
  const { password_file, password_command, uri_file, uri_command, database = [], ...rest } = input;
  const uri = secrets('uri');
  const all =
    database.includes('all') || (input.type === 'mongodb' && database.length === 0 && uri === undefined);
  const network = {
    ...base,
    ...rest,
    tags: base.tags,
    database: all ? [] : database,
    all_databases: all,
    password: secrets('password'),
    uri,
    client_path: input.client_path ?? [],
    client_command: input.client_command ?? [],
  };
  if (input.type === 'postgres') {
    const { lock_timeout, statement_timeout, ...others } = network as typeof network & typeof input;
    return given({
      ...others,
      lock_timeout_ms: durationMs(lock_timeout),
      statement_timeout_ms: durationMs(statement_timeout),
    }) as DatasourceConfig;
  }
  return given(network) as DatasourceConfig;
}

const SSH_PORT = 22;

function destination(name: string, input: DestinationInput, secrets: OwnSecrets): DestinationConfig {
  const base = {
    name,
    path_template: input.path_template ?? DEFAULT_PATH_TEMPLATE,
    optional: input.optional ?? false,
  };
  switch (input.type) {
    case 'local':
      return given({ ...input, ...base, must_be_mounted: input.must_be_mounted ?? false });
    case 'rclone':
      return given({ ...input, ...base });
    case 'backblaze': {
      const { application_key_file, application_key_command, ...rest } = input;
      const application_key = secrets('application_key')!;
      return given({ ...rest, ...base, application_key, prefix: trimSlash(input.prefix) });
    }
    case 'sftp':
    case 'ssh': {
      const {
        password_file,
        password_command,
        private_key_command,
        passphrase_file,
        passphrase_command,
        ...rest
      } = input;
      return given({
        ...rest,
        ...base,
        port: input.port ?? SSH_PORT,
        password: secrets('password'),
        private_key: secrets('private_key'),
        passphrase: secrets('passphrase'),
        host_key: input.host_key ?? [],
      });
    }
    default: {
      const {
        secret_access_key_file,
        secret_access_key_command,
        session_token_file,
        session_token_command,
        object_lock: lock,
        ...rest
      } = input;
      return given({
        ...rest,
        ...base,
        prefix: trimSlash(input.prefix),
        secret_access_key: secrets('secret_access_key'),
        session_token: secrets('session_token'),
        object_lock: lock && { mode: lock.mode, retain_for_ms: parseDuration(lock.retain_for)! },
      }) as S3Config | MinioConfig;
    }
  }
}

const trimSlash = (prefix: string | undefined): string => (prefix ?? '').replace(/\/$/, '');

function job(name: string, input: JobInput, timezone: () => string, secrets: OwnSecrets): JobConfig {
  const type = input.type ?? 'full';
  const jobRetention = retention(input.retention);
  return given({
    name,
    datasources: input.datasources,
    destinations: input.destinations.map((entry) => ({
      name: entry.name,
      retention: entry.retention === undefined ? jobRetention : retention(entry.retention),
    })),
    strategy: input.strategy ?? 'all',
    schedule: (input.schedule ?? []).map((entry) => ({ cron: entry.cron.trim(), type: entry.type ?? type })),
    get timezone() {
      return input.timezone ?? timezone();
    },
    type,
    full_every_ms: durationMs(input.full_every),
    expires_ms: durationMs(input.expires),
    retention: jobRetention,
    options: options(input.options ?? {}),
    encryption: input.encryption && encryption(input.encryption, secrets),
    hooks: {
      before: input.hooks?.before ?? [],
      after: input.hooks?.after ?? [],
      on_success: input.hooks?.on_success ?? [],
      on_error: input.hooks?.on_error ?? [],
    },
    notify: input.notify ?? [],
    timeout_ms: durationMs(input.timeout),
    retries: input.retries ?? 0,
    gate: given({
      enabled: input.gate?.enabled ?? true,
      min_size_percent: input.gate?.min_size_percent ?? 50,
      min_rows_percent: input.gate?.min_rows_percent ?? 50,
      min_files_percent: input.gate?.min_files_percent ?? 50,
      allow_empty: input.gate?.allow_empty ?? false,
      accept_after: input.gate?.accept_after,
    }),
    same_source: input.same_source ?? false,
    formerly: input.formerly ?? [],
    tags: input.tags ?? {},
  });
}

function retention(input: RetentionInput = {}): RetentionPolicy {
  const { keep_within, auto_delete = false, ...counts } = input;
  return given({ ...counts, keep_within_ms: durationMs(keep_within), auto_delete });
}

function options(input: NonNullable<JobInput['options']>): JobOptions {
  const compression = input.compression ?? DEFAULT_COMPRESSION;
  return given({
    compression,
    compression_level: input.compression_level ?? COMPRESSION_LEVELS[compression]?.usual,
    format: input.format ?? 'native',
    parallel_jobs: input.parallel_jobs,
    include_tables: input.include_tables ?? [],
    exclude_tables: input.exclude_tables ?? [],
    max_file_size_mb: input.max_file_size_mb,
    bandwidth_limit_bytes: input.bandwidth_limit === undefined ? undefined : parseSize(input.bandwidth_limit),
    self_dedup: input.self_dedup ?? false,
  });
}

function encryption(input: NonNullable<JobInput['encryption']>, secrets: OwnSecrets): EncryptionConfig {
  return given({
    passphrase: secrets('encryption', 'passphrase'),
    kdf: input.kdf ?? 'scrypt',
    key: secrets('encryption', 'key'),
    recipients: input.recipients ?? [],
    identity: secrets('encryption', 'identity'),
  });
}

/** What a person must act on. Success and cleanup are told only to who asks for them. */
const USUAL_EVENTS: readonly NotificationEvent[] = [
  'backup_failed',
  'backup_suspect',
  'verify_failed',
  'restore_failed',
  'connection_lost',
  'storage_full',
  'storage_unreachable',
  'health_degraded',
  'stale',
];
/** A ping is a sign of life: success is its point. */
const PING_EVENTS: readonly NotificationEvent[] = ['backup_success', 'backup_failed', 'backup_suspect'];
const NOTIFY_TIMEOUT_MS = 10_000;
const SMTP_PORTS = { starttls: 587, tls: 465, none: 25 } as const;

export function normaliseNotification(
  name: string,
  input: NotificationInput,
  secrets: OwnSecrets,
): NotificationConfig {
  const events = input.events ?? (input.type === 'ping' ? PING_EVENTS : USUAL_EVENTS);
  const base = { name, events, timeout_ms: durationMs(input.timeout) ?? NOTIFY_TIMEOUT_MS };
  if (input.type === 'ping') return { ...base, type: 'ping', url: secrets('url')! };
  if (input.type === 'smtp') {
    const { security = 'starttls', username, from, to, host } = input;
    const port = input.port ?? SMTP_PORTS[security];
    return given({
      ...base,
      type: 'smtp' as const,
      host,
      port,
      security,
      username,
      password: secrets('password'),
      from,
      to,
    });
  }
  return given({
    ...base,
    type: 'webhook' as const,
    url: secrets('url'),
    preset: input.preset ?? 'json',
    headers: mapNames(input.headers, (header) => secrets('headers', header)!),
    token: secrets('token'),
    chat_id: input.chat_id,
  });
}

const durationMs = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : parseDuration(text);

/** An object without the keys whose value is undefined. */
function given<T extends object>(object: T): Given<T> {
  const members = Object.entries(Object.getOwnPropertyDescriptors(object));
  return Object.defineProperties(
    {},
    Object.fromEntries(members.filter(([, { get, value }]) => get !== undefined || value !== undefined)),
  ) as Given<T>;
}
type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};
