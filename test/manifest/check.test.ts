import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { manifestIssues, manifestSchema } from '../../src/manifest/schema.ts';
import { AT, ID, MANIFEST, SHA256 } from './every-field.ts';

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
        const parsed = manifestSchema.safeParse(value, { jitless: true });
        const walked = said(parsed.error?.issues);
        expect(walked).toBe(said(compiled.safeParse(value).error?.issues));
        expect(z.validate(compiled, value)).toBe(parsed.success);
        expect(walked).toBe(said(manifestSchema.safeParse(value).error?.issues));
        expect(walked).toBe(said(manifestIssues(value)));
        if (parsed.success) {
          expect(asJson(parsed.data)).toEqual(asJson(value)); // so nobody needs the copy
          taken++;
        } else refused++;
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

function said(issues: readonly z.core.$ZodIssue[] | undefined): string {
  return JSON.stringify(issues?.map(({ path, message, code }) => [path, message, code]) ?? 'taken');
}

/** Without what JSON cannot say: a key of a list that is no place in it. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
