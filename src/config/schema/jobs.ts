import * as z from 'zod';
import {
  count,
  cron,
  duration,
  hookCommand,
  line,
  list,
  NAME_PATTERN,
  name,
  percent,
  positive,
  secret,
  shorthand,
  size,
  text,
  timezone,
} from './fields.ts';

const backupType = () => z.enum(['full', 'incremental', 'differential', 'snapshot', 'checkpoint']);

const retention = z.strictObject({
  keep_last: count().optional(),
  keep_hourly: count().optional(),
  keep_daily: count().optional(),
  keep_weekly: count().optional(),
  keep_monthly: count().optional(),
  keep_yearly: count().optional(),
  keep_within: duration().optional(),
  max_backups: count(1).optional(),
  max_total_gb: positive().optional(),
  auto_delete: z.boolean().optional(),
});

const tables = () => list(z.string().refine((value) => value.trim() !== '', 'must not be empty')).optional();

const options = z.strictObject({
  compression: z.enum(['zstd', 'gzip', 'lz4', 'brotli', 'deflate', 'none']).optional(),
  compression_level: z.number().int().optional(),
  format: z.enum(['native', 'jsonl']).optional(),
  parallel_jobs: count(1, 256).optional(),
  include_tables: tables(),
  exclude_tables: tables(),
  max_file_size_mb: count(1, 10_000_000).optional(),
  bandwidth_limit: size().optional(),
  self_dedup: z.boolean().optional(),
});

const encryption = z.strictObject({
  ...secret('passphrase'),
  kdf: z.enum(['scrypt', 'pbkdf2']).optional(),
  ...secret('key', 'key'),
  recipients: list(line()).optional(),
  ...secret('identity'),
});

const hooks = z.strictObject({
  before: list(hookCommand()).optional(),
  after: list(hookCommand()).optional(),
  on_success: list(hookCommand()).optional(),
  on_error: list(hookCommand()).optional(),
});

const gate = z.strictObject({
  enabled: z.boolean().optional(),
  min_size_percent: percent().optional(),
  min_rows_percent: percent().optional(),
  min_files_percent: percent().optional(),
  allow_empty: z.boolean().optional(),
  accept_after: count(2, 1000).optional(),
});

/** `old-job/datasource`, with a namespace before it where there was one. */
const formerName = z
  .string()
  .refine(
    (value) =>
      /^[^/]+(\/[^/]+){1,2}$/.test(value) && value.split('/').every((part) => NAME_PATTERN.test(part)),
    'must be job/datasource, or namespace/job/datasource, as it was called',
  );

export const job = z.strictObject({
  datasources: list(z.string(), 1),
  destinations: list(
    shorthand(z.strictObject({ name: z.string(), retention: retention.optional() }), 'name'),
    1,
  ),
  strategy: z.enum(['all', 'any', 'priority']).optional(),
  schedule: list(
    shorthand(z.strictObject({ cron: cron(), type: backupType().optional() }), 'cron'),
  ).optional(),
  timezone: timezone().optional(),
  type: backupType().optional(),
  full_every: duration().optional(),
  expires: duration().optional(),
  retention: retention.optional(),
  options: options.optional(),
  encryption: encryption.optional(),
  hooks: hooks.optional(),
  notify: list(z.string()).optional(),
  timeout: duration().optional(),
  retries: count(0, 100).optional(),
  gate: gate.optional(),
  same_source: z.boolean().optional(),
  formerly: list(
    shorthand(z.strictObject({ was: formerName, datasource: z.string().optional() }), 'was'),
  ).optional(),
  tags: z.record(name(), text()).optional(),
});

export type JobInput = z.output<typeof job>;
export type RetentionInput = z.output<typeof retention>;
