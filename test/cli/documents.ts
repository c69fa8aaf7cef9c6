import { z } from 'zod';
import { manifestSchema } from '../../src/manifest/schema.ts';

/**
 * The documents that commands print with `--json`, and the lines on stderr beside them: what scripts may
 * rely on. Strict about everything that is promised, loose about what a manifest may hold besides.
 */
const failure = z.strictObject({
  code: z.string(),
  operation: z.string().nullable(),
  subject: z.string().nullable(),
  message: z.string().min(1),
  hint: z.string().nullable(),
});
const count = z.int().nonnegative();
const instant = z.iso.datetime();

const verifyResult = z
  .strictObject({ level: z.string(), result: z.enum(['pass', 'fail']), checked_at: instant })
  .nullable();

const listed = z.strictObject({
  destination: z.string(),
  folder: z.string(),
  state: z.enum(['completed', 'partial', 'suspect', 'failed', 'broken', 'damaged', 'verify failed']),
  good: z.boolean(),
  accepted: z.boolean(),
  pinned: z.boolean(),
  problems: z.array(z.string()),
  foreign: z.array(z.string()),
  deleting: z.boolean(),
  verified: verifyResult,
  proof: verifyResult,
});
/** A manifest, or of a damaged one only what listing found. */
const listedBackup = z.union([
  manifestSchema.safeExtend({ computed: listed }),
  z.strictObject({ computed: listed }),
]);
const copy = z.strictObject({ destination: z.string(), folder: z.string(), error: failure.optional() });
const madeBackup = manifestSchema.safeExtend({
  computed: z.strictObject({
    copies: z.array(copy),
    warnings: z.strictObject({ count, first: z.array(z.string()), partial: z.boolean().optional() }),
  }),
});
const decision = { id: z.string(), keep: z.boolean(), reasons: z.array(z.string()) };
const pruned = z.strictObject({
  destination: z.string(),
  job: z.string(),
  datasource: z.string(),
  removed: z.array(z.string()),
  freed_bytes: count,
  plan: z.array(z.strictObject(decision)),
  swept: z.array(
    z.strictObject({ folder: z.string(), outcome: z.string(), reason: z.string(), bytes: count.optional() }),
  ),
  warnings: z.array(z.string()),
});
/** Its lists are of what would be. */
const dry = { dry_run: z.literal(true).optional() };

const planned = z.strictObject({
  job: z.string(),
  datasources: z.array(z.string()),
  destinations: z.array(z.string()),
  type: z.string(),
});
const report = z.strictObject({
  id: z.string(),
  destination: z.string(),
  folder: z.string(),
  level: z.enum(['exists', 'checksum', 'content', 'restore']),
  overall: z.enum(['pass', 'fail', 'error']),
  checks: z.array(
    z.strictObject({
      name: z.enum(['exists', 'integrity', 'content', 'restore', 'completeness']),
      result: z.enum(['pass', 'fail']),
      message: z.string().optional(),
    }),
  ),
  warnings: z.array(z.string()),
});
const restored = z.strictObject({
  /** Null of what another tool wrote: then there is a `dump`. */
  id: z.string().nullable(),
  job: z.string().nullable(),
  dump: z.strictObject({ tool: z.string(), path: z.string(), database: z.string() }).optional(),
  datasource: z.string(),
  target: z.string(),
  size_bytes: count,
  files_count: count.optional(),
  tables: z.array(z.looseObject({})).optional(),
  undo: z.string().optional(),
  safety: z.string().optional(),
  plan: z.array(z.string()).optional(),
  warnings: z.array(
    z.strictObject({ subject: z.string().optional(), message: z.string(), partial: z.boolean() }),
  ),
});
const entry = z.strictObject({
  path: z.string(),
  kind: z.string(),
  size: count.optional(),
  rows: count.nullable().optional(),
});
const problem = z.strictObject({
  severity: z.enum(['invalid', 'unsafe', 'warning']),
  position: z.strictObject({ file: z.string(), line: count, column: count }).optional(),
  path: z.string(),
  message: z.string(),
  hint: z.string().optional(),
});

const nullableCount = count.nullable();
const statusRow = z.strictObject({
  job: z.string(),
  datasource: z.string(),
  destination: z.string(),
  state: z.enum(['ok', 'stale', 'none', 'former', 'spare', 'unreachable']),
  last_good: z.strictObject({ id: z.string(), created_at: instant, age_ms: z.int() }).nullable(),
  last_proof: z.strictObject({ id: z.string(), level: z.string(), checked_at: instant }).nullable(),
  stored_size_bytes: nullableCount,
  trend_percent: z.number().nullable(),
  success_percent: z.number().nullable(),
  backups: count,
  used_bytes: count,
  missing: z.array(z.string()),
  troubled: z.array(z.strictObject({ id: z.string(), state: z.string() })),
  unfinished: count,
  dated_ahead: z.number(),
  mixed_sources: z.boolean(),
});

const datasourceHealth = z.strictObject({
  name: z.string(),
  type: z.string(),
  status: z.enum(['ok', 'timeout', 'auth_failed', 'unreachable', 'error']),
  message: z.string().nullable(),
  latency_ms: nullableCount,
  server_version: z.string().nullable(),
  size_bytes: nullableCount,
  facts: z.record(z.string().regex(/^[a-z_]+$/), z.union([z.string(), z.number()])),
  leftovers: z.array(z.strictObject({ name: z.string(), message: z.string() })),
});
const destinationHealth = z.strictObject({
  name: z.string(),
  type: z.string(),
  label: z.string().nullable(),
  status: z.enum(['healthy', 'full', 'unreachable']),
  message: z.string().nullable(),
  optional: z.boolean(),
  round_trip_ms: nullableCount,
  free_bytes: nullableCount,
  limit_bytes: nullableCount,
  clock_ahead_ms: z.int().nullable(),
});
const finding = z.strictObject({
  severity: z.enum(['problem', 'warning', 'notice']),
  topic: z.string(),
  kind: z.enum(['config', 'host', 'datasource', 'destination']),
  name: z.string(),
  subject: z.string().nullable(),
  message: z.string().min(1),
  fix: z
    .strictObject({
      by: z.enum(['sql', 'shell', 'config']),
      database: z.string().nullable(),
      lines: z.array(z.string()).min(1),
    })
    .nullable(),
});

const FIELDS = {
  dguard: {},
  check: { datasources: z.array(datasourceHealth), destinations: z.array(destinationHealth) },
  doctor: { findings: z.array(finding), looked_at: z.array(z.string()) },
  backup: {
    backups: z.array(madeBackup),
    pruned: z.array(pruned),
    plan: z.array(planned).optional(),
    ...dry,
  },
  list: { backups: z.array(listedBackup) },
  show: { backup: listedBackup.optional() },
  ls: { entries: z.array(entry) },
  cat: {},
  diff: {
    changes: z.array(z.strictObject({ change: z.enum(['added', 'removed', 'changed']), path: z.string() })),
  },
  restore: { restored: z.array(restored), ...dry },
  verify: { checks: z.array(report) },
  status: {
    rows: z.array(statusRow),
    undo: z.array(
      z.strictObject({
        datasource: z.string(),
        name: z.string(),
        backup_id: z.string(),
        created_at: z.iso.datetime(),
      }),
    ),
  },
  rollback: { restored: z.array(restored), ...dry },
  prune: {
    plan: z.array(z.strictObject({ ...decision, destination: z.string() })),
    groups: z.array(pruned),
    ...dry,
  },
  accept: { marked: z.array(z.string()) },
  pin: { marked: z.array(z.string()) },
  unpin: { marked: z.array(z.string()) },
  unlock: { unlocked: z.array(z.looseObject({})) },
  delete: { deleted: z.array(z.string()) },
  config: {},
  'config validate': { path: z.string().optional(), problems: z.array(problem) },
  'config show': { config: z.looseObject({}).optional() },
  'config schema': { schema: z.looseObject({}).optional() },
  completion: { shell: z.string().optional(), script: z.string().optional() },
} as const;

/** The document of a command; throws where it is not what is promised. */
export function parseDocument(command: string, text: string) {
  const fields: z.core.$ZodLooseShape = FIELDS[command as keyof typeof FIELDS];
  const schema = z
    .strictObject({
      command: z.literal(command),
      status: z.enum(['ok', 'partial', 'failed']),
      exit_code: z.int(),
      ...fields,
      errors: z.array(failure),
    })
    .refine(({ status, exit_code }) => (status === 'ok') === (exit_code === 0), 'status and exit_code differ')
    .refine(
      ({ status, errors }) => status !== 'failed' || errors.length > 0,
      'failed, but no error says why',
    );
  return schema.parse(JSON.parse(text));
}

const subject = { job: z.string().optional(), subject: z.string() };
const lineSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('stage'),
    time: instant,
    ...subject,
    stage: z.string(),
    total_bytes: count.optional(),
  }),
  z.strictObject({
    type: z.literal('progress'),
    time: instant,
    ...subject,
    stage: z.string(),
    bytes_done: count,
    bytes_stored: count.optional(),
    files_done: count.optional(),
    total_bytes: count.optional(),
    bytes_per_second: count,
    elapsed_ms: count,
    eta_ms: count.optional(),
  }),
  z.strictObject({
    type: z.literal('done'),
    time: instant,
    ...subject,
    outcome: z.enum(['completed', 'partial', 'failed']),
  }),
  z.strictObject({
    type: z.literal('log'),
    time: instant,
    level: z.enum(['debug', 'info', 'warning', 'error']),
    job: z.string().optional(),
    subject: z.string().optional(),
    message: z.string(),
    data: z.record(z.string(), z.unknown()).optional(),
  }),
]);

/** The lines of stderr beside a document; throws where one is not JSON of a known type. */
export function parseLines(stderr: string): z.infer<typeof lineSchema>[] {
  const lines = stderr.split('\n').filter((line) => line !== '');
  return lines.map((line) => lineSchema.parse(JSON.parse(line)));
}
