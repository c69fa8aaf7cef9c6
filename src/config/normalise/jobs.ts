import { formerOf } from '../former.ts';
import { COMPRESSION_LEVELS, DEFAULT_COMPRESSION } from '../levels.ts';
import type { JobInput, RetentionInput } from '../schema/jobs.ts';
import type { OwnSecrets } from '../secrets.ts';
import { parseSize } from '../size.ts';
import type { EncryptionConfig, JobConfig, JobOptions, RetentionPolicy } from '../types/jobs.ts';
import { durationMs, given } from './given.ts';

export function normaliseJob(
  name: string,
  input: JobInput,
  timezone: () => string,
  secrets: OwnSecrets,
): JobConfig {
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
    // One that nobody can attribute is a problem of its own (former.ts), and the configuration is refused.
    formerly: (input.formerly ?? []).flatMap((entry) => formerOf(entry, input.datasources) ?? []),
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
