import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { checkManifest, manifestSchema } from '../../src/manifest/schema.ts';

const SHA256 = 'a'.repeat(64);
const ID = 'full-2026-01-31T10-00-00Z-abcdefgh';
const AT = '2026-01-31T10:00:00.000Z';

/** Every field that there is, so that every rule is met. */
const MANIFEST = {
  format: 1,
  dguard_version: '0.1.0',
  id: ID,
  run_id: 'run',
  namespace: 'ns',
  host: 'host',
  source_identity: 'host:/data',
  job: 'prod',
  datasource: { name: 'docs', type: 'files', more: 1 },
  database: 'db',
  patterns: { include: ['a'], exclude: ['b'] },
  selection: { only: ['a'], exclude: [] },
  doubts: ['small'],
  tags: ['a=b'],
  extra: { any: { thing: [1, 'x', null] } },
  type: 'full',
  status: 'completed',
  expires: AT,
  parent_backup_id: ID,
  base_backup_id: ID,
  references: [{ id: ID, root_sha256: SHA256 }],
  created_at: AT,
  started_at: AT,
  finished_at: AT,
  time_zone: 'UTC',
  duration_ms: 1,
  size_bytes: 2,
  compressed_size_bytes: 3,
  stored_size_bytes: 4,
  compression: { codec: 'zstd', level: 3 },
  chunker: { algorithm: 'gear', version: 1, min: 1, avg: 2, max: 3 },
  artifacts: [
    {
      name: 'data.tar.zst',
      member: 'data',
      media: 'application/x-tar',
      format: 'tar',
      size: 1,
      blocks: 1,
      digest: SHA256,
      stored_size: 1,
      sha256: SHA256,
      parts: [{ number: 1, size: 1, sha256: SHA256 }],
    },
  ],
  index: {
    name: 'index',
    size: 1,
    sha256: SHA256,
    root: { offset: 0, stored: 1, length: 1, sha256: SHA256 },
    frames: 1,
    entries: 1,
    blocks: 1,
  },
  encryption: { cipher: 'x', key_id: 'k', key_object: 'o' },
  facts: {
    database_version: '1',
    tool: 't',
    tool_version: '1',
    consistency: 'snapshot',
    extensions: ['e'],
    schema_sha256: SHA256,
    tables_count: 1,
    rows: 1,
    files_count: 1,
    engine_output: 'o',
    engine: { a: 1 },
    warnings: { count: 1, first: ['w'] },
  },
  destinations: ['disk'],
  error: { operation: 'o', stage: 's', code: 'c', message: 'm', cause: 'x' },
  recover: ['tar x'],
  integrity: { sha256: SHA256 },
  unknown: { kept: true },
};

type Tree = Record<string, unknown>;
type Place = { readonly holder: Tree; readonly key: string };
const NOTHING = Symbol('removed');

const otherValue = fc.oneof(
  fc.constant(NOTHING),
  fc.constantFrom(
    null,
    -1,
    1.5,
    0,
    2 ** 60,
    '',
    'x'.repeat(5000),
    SHA256,
    ID,
    AT,
    '2026-02-31T10:00:00Z',
    true,
  ),
  fc.constantFrom(
    [],
    {},
    ['a'],
    [1],
    { count: 1, objects: 1, bytes: 1, sha256: SHA256 },
    Array(60).fill('x'),
  ),
);
/** Up to three places of the manifest, each with another value, or none; at times a key more. */
const changes = fc.array(fc.tuple(fc.nat(), otherValue, fc.boolean()), { minLength: 0, maxLength: 3 });

describe('the check of a manifest', () => {
  it('says the same by every way, in the same words', () => {
    const compiled = z.compile(manifestSchema, { strict: true });
    let refused = 0;
    let taken = 0;
    fc.assert(
      fc.property(changes, (list) => {
        const value = structuredClone(MANIFEST) as Tree;
        for (const [at, made, isNew] of list) {
          const other = made === NOTHING ? made : structuredClone(made);
          const places = placesOf(value);
          const { holder, key } = places[at % places.length]!;
          if (isNew) holder[`${key}2`] = other === NOTHING ? 1 : other;
          else if (other === NOTHING) delete holder[key];
          else holder[key] = other;
        }
        const walked = verdict(manifestSchema.safeParse(value, { jitless: true }));
        expect(walked).toBe(verdict(compiled.safeParse(value)));
        expect(walked).toBe(verdict(manifestSchema.safeParse(value)));
        expect(walked).toBe(verdict(checkManifest(value)));
        if (walked.startsWith('{"issues"')) refused++;
        else taken++;
      }),
      { numRuns: 1500, seed: 42 },
    );
    expect(refused).toBeGreaterThan(300);
    expect(taken).toBeGreaterThan(100);
  });
});

function placesOf(tree: Tree): Place[] {
  return Object.entries(tree).flatMap(([key, value]) => [
    { holder: tree, key },
    ...(value !== null && typeof value === 'object' ? placesOf(value as Tree) : []),
  ]);
}

/** With the order of keys, which listing prints. */
function verdict(parsed: ReturnType<typeof checkManifest>): string {
  if (parsed.success) return JSON.stringify(parsed.data);
  return JSON.stringify({
    issues: parsed.error.issues.map(({ path, message, code }) => [path, message, code]),
  });
}
