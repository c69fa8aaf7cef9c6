import { noise } from '../archive/support.ts';
import { type Cases, damaged, type HostileCase, refused } from './cases.ts';
import { hostileId, type Recipe, ROOT, seal, sliceOf } from './forge.ts';

const BLOCK = noise(5000, 5);
const ZERO = '0'.repeat(64);

function one(id: string, more: Recipe = {}): Recipe {
  return { blocks: [BLOCK], entries: [ROOT, { path: 'a', size: 5000, at: [sliceOf(id, 0, 5000)] }], ...more };
}
const manifest = (change: (draft: object) => object, says: RegExp): HostileCase =>
  damaged({ manifest: change }, says);
const text = (change: (text: string) => string | Buffer, says: RegExp): HostileCase =>
  damaged({ text: change }, says);

/** The manifest itself. */
export const manifests: Cases = {
  'a manifest with a key twice': text(
    (t) => t.replace('  "job": "job",\n', '  "job": "other",\n  "job": "job",\n'),
    /canonical/,
  ),
  'a manifest with other spaces': text((t) => JSON.stringify(JSON.parse(t)), /canonical/),
  'a manifest with something behind it': text((t) => `${t}{}\n`, /not JSON|canonical/),
  'a manifest with a mark of byte order': text((t) => `\ufeff${t}`, /not JSON|canonical/),
  'a manifest that is not UTF-8': text(
    (t) => Buffer.from(t.replace('"host"', '"h\xffst"'), 'latin1'),
    /not JSON in UTF-8/,
  ),
  'a manifest of 2 MiB': text(
    (t) => `${t.slice(0, -3)},\n  "x": "${'x'.repeat(2 ** 21)}"\n}\n`,
    /larger than|more than/,
  ),
  'a manifest of another hash': text((t) => t.replace('"host": "host"', '"host": "evil"'), /integrity/),
  'a manifest nested 100,000 times': text((t) => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    return t.replace('"host": "host"', `"extra": ${deep},\n  "host": "host"`);
  }, /canonical|not JSON/),
  'a manifest that is a list': text(() => '[]\n', /not a JSON object/),
  'a manifest that is empty': text(() => '', /not JSON/),
  'a manifest with a number that is none': text(
    (t) => t.replace('"duration_ms": 1000', '"duration_ms": 1e3'),
    /canonical/,
  ),
  'a size below nothing': manifest((draft) => ({ ...draft, size_bytes: -1 }), /size_bytes/),
  'a size of 2^53': manifest((draft) => ({ ...draft, size_bytes: 2 ** 53 }), /size_bytes/),
  'an id that leads out': manifest((draft) => ({ ...draft, id: '../../etc' }), /id/),
  'a moment of no calendar': manifest(
    (draft) => ({ ...draft, created_at: '2026-13-45T99:99:99Z' }),
    /created_at/,
  ),
  'an artifact with a name out of the folder': damaged(
    { blocks: [BLOCK], artifacts: ([only]) => [{ ...only!, name: '../x' }], manifest: (draft) => draft },
    /artifacts/,
  ),
  'a part for each of 10,001 bytes': damaged(
    {
      blocks: [BLOCK],
      artifacts: ([only]) => [
        {
          ...only!,
          parts: Array.from({ length: 10_001 }, (_, n) => ({ number: n + 1, size: 0, sha256: ZERO })),
        },
      ],
      manifest: (draft) => draft,
    },
    /artifacts|larger than/,
  ),
  '5,000 references': manifest(
    (draft) => ({
      ...draft,
      references: Array.from({ length: 5000 }, (_, n) => ({
        id: hostileId(n % 1024),
        root_sha256: ZERO,
      })),
    }),
    /references/,
  ),
  'two references with one short name': manifest(
    (draft) => ({
      ...draft,
      references: ['full', 'incremental'].map((type) => ({
        id: `${type}-2026-01-01T00-00-00Z-zzzzzzzz`,
        root_sha256: ZERO,
      })),
    }),
    /one short name/,
  ),
  'a reference to itself': {
    ...manifest((draft) => draft, /one short name/),
    recipe: (id) => ({ manifest: (draft) => ({ ...draft, references: [{ id, root_sha256: ZERO }] }) }),
  },
  'a manifest of the future': {
    outcome: 'refused',
    damaged: true,
    says: /reads format 1/,
    recipe: () => ({ text: (t) => t.replace('"format": 1', '"format": 2') }),
  },
  'fields named __proto__ and constructor': {
    outcome: 'harmless',
    recipe: (id) =>
      one(id, {
        manifest: (draft) => draft,
        text: (t) => {
          const { integrity: _, ...rest } = JSON.parse(t) as Record<string, unknown>;
          const evil = JSON.parse(
            '{"__proto__":{"good":true,"job":"owned"},"constructor":{"prototype":{}}}',
          ) as object;
          const fields = Object.entries(rest).concat(Object.entries(evil));
          const all = Object.create(null) as Record<string, unknown>;
          for (const [key, value] of fields) all[key] = value;
          return seal(all);
        },
      }),
  },
};

/** Backups that refer to others. */
export const references: Cases = {
  'a reference to what is not there': refused(
    (id) =>
      one(id, {
        entries: [ROOT, { path: 'a', size: 10, at: ['["zzzzzzzz",0,0,0,10]'] }],
        manifest: (draft) => ({
          ...draft,
          references: [{ id: 'full-2026-01-01T00-00-00Z-zzzzzzzz', root_sha256: ZERO }],
        }),
      }),
    /is not intact|is missing/,
  ),
  'an origin that no reference names': refused(
    (id) => one(id, { entries: [ROOT, { path: 'a', size: 10, at: ['["zzzzzzzz",0,0,0,10]'] }] }),
    /does not name/,
  ),
  'two backups that refer to each other': {
    outcome: 'refused',
    says: /is not intact|root/,
    recipe: circle,
    beside: circle,
  },
};

/** A backup that refers to another. */
function circle(id: string, to: string): Recipe {
  return one(id, {
    entries: [ROOT, { path: 'a', size: 10, at: [`["${to.slice(-8)}",0,0,0,10]`] }],
    manifest: (draft) => ({ ...draft, references: [{ id: to, root_sha256: ZERO }] }),
  });
}

/** What lies beside the data. */
export const besides: Cases = {
  'checksums that lie': {
    outcome: 'verify-refuses',
    says: /does not say what the manifest says/,
    recipe: (id) => one(id, { objects: (o) => o.set('SHA256SUMS', Buffer.from(`${ZERO}  files.tar.zst\n`)) }),
  },
  'checksums of 10 MiB': {
    outcome: 'verify-refuses',
    says: /larger than/,
    recipe: (id) => one(id, { objects: (o) => o.set('SHA256SUMS', Buffer.alloc(10 * 2 ** 20, 0x61)) }),
  },
  'results of verify that are garbage, or about another manifest': {
    outcome: 'harmless',
    recipe: (id) =>
      one(id, {
        objects: (o) => {
          const stamp = '2026-01-03T00-00-00Z-000';
          o.set(`verified-${stamp}-aaaaaaaa.json`, Buffer.from('{"result":'));
          o.set(`verified-${stamp}-bbbbbbbb.json`, Buffer.from('null'));
          o.set(`verified-${stamp}-cccccccc.json`, Buffer.from('[[[['));
          o.set(`verified-${stamp}-dddddddd.json`, Buffer.alloc(200_000, 0x20));
          const other = {
            level: 'content',
            result: 'fail',
            made_at: '2026-01-03T00:00:00Z',
            manifest_sha256: ZERO,
          };
          o.set(`verified-${stamp}-eeeeeeee.json`, Buffer.from(JSON.stringify(other)));
        },
      }),
  },
  'names that are no names of ours': {
    outcome: 'harmless',
    recipe: (id) => one(id, { objects: (o) => o.set('\x1b[31mred\x07\n', Buffer.from('x')) }),
  },
};
