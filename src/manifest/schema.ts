import * as z from 'zod';
import { BACKUP_ID } from '../plan/naming.ts';

/**
 * Format 1's manifest. Additive within a format: unknown fields are kept and shown, never refused.
 * FORMAT.md says what each field means; the types are in `types.ts`, checked against this schema below.
 */
const bytes = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const text = (max: number) => z.string().max(max);
const instant = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/)
  .refine((at) => !Number.isNaN(Date.parse(at)), 'is no moment of any calendar');
const id = z.string().regex(BACKUP_ID);
const artifactName = z.string().regex(/^[a-z0-9][a-z0-9._%-]{0,120}$/);

const part = z.looseObject({ number: z.number().int().positive(), size: bytes, sha256 });
/** Also for the table that a long list is in the index. */
export const artifactSchema = z.looseObject({
  name: artifactName,
  member: text(4096),
  media: text(200),
  format: text(100),
  size: bytes,
  blocks: bytes,
  digest: sha256,
  stored_size: bytes,
  sha256,
  parts: z.array(part).min(1).max(10_000).optional(),
});
const artifactSummary = z.looseObject({ count: bytes, objects: bytes, bytes, sha256 });

const facts = z.looseObject({
  database_version: text(200).optional(),
  tool: text(200).optional(),
  tool_version: text(200).optional(),
  consistency: z.enum(['snapshot', 'point-in-time', 'none']),
  extensions: z.array(text(200)).max(500).optional(),
  schema_sha256: sha256.optional(),
  tables_count: bytes.optional(),
  rows: bytes.optional(),
  files_count: bytes.optional(),
  engine_output: text(4096).optional(),
  engine: z.record(z.string(), z.unknown()).optional(),
  warnings: z.looseObject({ count: bytes, first: z.array(text(2000)).max(20) }).optional(),
});

export const manifestSchema = z.looseObject({
  format: z.literal(1),
  dguard_version: text(100),
  id,
  run_id: text(100),
  namespace: text(200).optional(),
  host: text(300),
  source_identity: text(4096),
  job: text(200),
  datasource: z.looseObject({ name: text(300), type: text(50) }),
  database: text(300).optional(),
  databases_count: bytes.optional(),
  patterns: z
    .looseObject({ include: z.array(text(4096)).max(1000), exclude: z.array(text(4096)).max(1000) })
    .optional(),
  selection: z
    .looseObject({ only: z.array(text(4096)).max(1000), exclude: z.array(text(4096)).max(1000) })
    .optional(),
  doubts: z.array(text(1000)).max(20).optional(),
  tags: z.array(text(300)).max(200),
  extra: z.record(z.string(), z.unknown()).optional(),
  type: z.enum(['full', 'incremental', 'differential', 'snapshot', 'checkpoint']),
  status: z.enum(['completed', 'partial', 'suspect', 'failed']),
  expires: instant.optional(),
  parent_backup_id: id.optional(),
  base_backup_id: id.optional(),
  references: z.array(z.looseObject({ id, root_sha256: sha256 })).max(4096),
  created_at: instant,
  started_at: instant,
  finished_at: instant,
  time_zone: text(100),
  duration_ms: bytes,
  size_bytes: bytes,
  compressed_size_bytes: bytes,
  stored_size_bytes: bytes,
  compression: z.looseObject({
    codec: z.enum(['zstd', 'gzip', 'lz4', 'brotli', 'deflate', 'none']),
    level: z.number().int().optional(),
  }),
  chunker: z.looseObject({
    algorithm: z.literal('gear'),
    version: z.literal(1),
    min: bytes,
    avg: bytes,
    max: bytes,
  }),
  artifacts: z.union([z.array(artifactSchema).max(50), artifactSummary]),
  index: z
    .looseObject({
      name: artifactName,
      size: bytes,
      sha256,
      root: z.looseObject({ offset: bytes, stored: bytes, length: bytes, sha256 }),
      frames: bytes,
      entries: bytes,
      blocks: bytes,
    })
    .optional(),
  encryption: z.looseObject({ cipher: text(50), key_id: text(200), key_object: text(200) }).optional(),
  facts: facts.optional(),
  destinations: z.array(text(200)).max(100),
  error: z
    .looseObject({
      operation: text(200),
      stage: text(100),
      code: text(100),
      message: text(4000),
      cause: text(4000).optional(),
    })
    .optional(),
  // The check and the new folder, and one for each artifact that is listed here.
  recover: z.array(text(4096)).max(51),
  integrity: z.looseObject({ sha256 }),
});

/** So many, and code made for the schema is worth its 25 ms: a listing parses ten thousand. */
const MANY = 30;
let checked = 0;
let compiled: typeof manifestSchema | undefined;

/**
 * Why the schema refuses a manifest, or undefined where it fits, by the cheapest of ways that all agree (a test
 * holds that). No copy is made: the schema changes nothing.
 */
export function manifestIssues(value: unknown): readonly z.core.$ZodIssue[] | undefined {
  if (++checked < MANY) return manifestSchema.safeParse(value, { jitless: true }).error?.issues;
  compiled ??= z.compile(manifestSchema);
  return z.validate(compiled, value) ? undefined : compiled.safeParse(value).error?.issues;
}
