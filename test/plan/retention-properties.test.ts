import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RetentionPolicy } from '../../src/config/types/jobs.ts';
import { planRetention } from '../../src/plan/retention.ts';
import { newestGood } from '../../src/plan/retention-floors.ts';
import { applyPolicy } from '../../src/plan/retention-policy.ts';
import type { PolicyBackup } from '../../src/plan/retention-types.ts';
import { backupAt, NOW } from './support-retention.ts';

const RUNS = 400;
const LATER = new Date('2030-01-01');
const ZONES = ['UTC', 'America/Sao_Paulo', 'Europe/Berlin', 'Pacific/Apia', 'Australia/Lord_Howe'];
const STATES = [
  'completed',
  'completed',
  'completed',
  'partial',
  'suspect',
  'failed',
  'broken',
  'verify failed',
] as const;
/** Half hours around what calendars do at their worst: DST changes, the skipped day, ends of years. */
const MOMENTS = [
  '2018-02-17T22:00Z',
  '2018-11-04T01:00Z',
  '2011-12-29T12:00Z',
  '2026-10-24T22:00Z',
  '2020-12-30T00:00Z',
  '2026-11-20T00:00Z',
].map((at) => Date.parse(at));

const zone = fc.constantFrom(...ZONES);
const moment = fc
  .tuple(fc.constantFrom(...MOMENTS), fc.integer({ min: 0, max: 200 }))
  .map(([start, halfHours]) => new Date(start + halfHours * 1_800_000));
const few = fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined, freq: 3 });

const policy: fc.Arbitrary<RetentionPolicy> = fc
  .record({
    keep_last: few,
    keep_hourly: few,
    keep_daily: few,
    keep_weekly: few,
    keep_monthly: few,
    keep_yearly: few,
    keep_within_ms: fc.option(
      fc.integer({ min: 1, max: 400 }).map((hours) => hours * 3_600_000),
      { nil: undefined },
    ),
    max_backups: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
    max_total_gb: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
  })
  .map((rules) => {
    const given = Object.entries(rules).filter(([, value]) => value !== undefined);
    return { ...Object.fromEntries(given), auto_delete: false } as RetentionPolicy;
  });

/** Histories of every state, with chains: each may refer to some of the backups before it. */
const history: fc.Arbitrary<PolicyBackup[]> = fc
  .array(
    fc.record({
      at: moment,
      state: fc.constantFrom(...STATES),
      type: fc.constantFrom('full', 'incremental', 'snapshot', 'checkpoint'),
      accepted: fc.boolean(),
      pinned: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
      expires: fc.option(moment, { nil: undefined }),
      references: fc.array(fc.nat(40), { maxLength: 3 }),
    }),
    { maxLength: 40 },
  )
  .map((items) => {
    const sorted = items.sort((a, b) => a.at.getTime() - b.at.getTime());
    return sorted.map(({ at, state, type, accepted, references, ...rest }, i) =>
      backupAt(at, {
        ...rest,
        id: `b${i}`,
        state,
        type: type as PolicyBackup['type'],
        good: state === 'completed' || (state === 'suspect' && accepted),
        references: references.filter((r) => r < i && type === 'incremental').map((r) => `b${r}`),
      }),
    );
  });

const keptIds = (rules: RetentionPolicy, backups: readonly PolicyBackup[], timeZone: string) =>
  planRetention(rules, backups, NOW, timeZone)
    .decisions.filter(({ keep }) => keep)
    .map(({ id }) => id);

/** One property over random histories, policies and zones, and one more thing. */
function forAny<T>(
  other: fc.Arbitrary<T>,
  property: (rules: RetentionPolicy, backups: PolicyBackup[], timeZone: string, other: T) => void,
): void {
  fc.assert(fc.property(policy, history, zone, other, property), { numRuns: RUNS });
}

describe('for any history and policy', () => {
  test('the newest good one, pinned ones, those in doubt, and all that what stays needs, stay', () => {
    forAny(fc.constant(0), (rules, backups, timeZone) => {
      const kept = new Set(keptIds(rules, backups, timeZone));
      const newest = newestGood(backups, NOW);
      if (newest) expect(kept).toContain(newest.id);
      for (const { id, pinned, state, good, references } of backups) {
        if (pinned || ['broken', 'verify failed'].includes(state) || (state === 'suspect' && !good))
          expect(kept).toContain(id);
        if (kept.has(id) && state !== 'failed')
          for (const needed of references) expect(kept).toContain(needed);
      }
    });
  });

  test('a plan of what a plan keeps keeps all of it', () => {
    forAny(fc.constant(0), (rules, backups, timeZone) => {
      const kept = keptIds(rules, backups, timeZone);
      const left = backups.filter(({ id }) => kept.includes(id));
      expect(keptIds(rules, left, timeZone)).toEqual(kept);
    });
  });

  test('the order of the input has no say, in reasons neither', () => {
    forAny(fc.array(fc.nat(), { minLength: 40, maxLength: 40 }), (rules, backups, timeZone, keys) => {
      const keyed = backups.map((backup, i) => [keys[i] ?? 0, backup] as const);
      const shuffled = keyed.sort(([a], [b]) => a - b).map(([, backup]) => backup);
      expect(planRetention(rules, shuffled, NOW, timeZone)).toEqual(
        planRetention(rules, backups, NOW, timeZone),
      );
    });
  });

  const rule = fc.constantFrom(
    'keep_last',
    'keep_hourly',
    'keep_daily',
    'keep_weekly',
    'keep_monthly',
    'keep_yearly',
    'keep_within_ms',
  );
  test('a larger count or a longer span keeps at least as much, where no cap is set', () => {
    forAny(fc.tuple(rule, fc.integer({ min: 1, max: 9 })), (rules, backups, timeZone, [name, more]) => {
      const { max_backups: _, max_total_gb: __, ...uncapped } = rules;
      // A rule beside another only adds; the very first one ends "no rule keeps everything".
      const base = { ...uncapped, keep_last: (uncapped.keep_last ?? 0) + 1 };
      const larger = {
        ...base,
        [name]: (base[name] ?? 0) + more * (name === 'keep_within_ms' ? 7_200_000 : 1),
      };
      const less = keptIds(base, backups, timeZone);
      expect(keptIds(larger, backups, timeZone)).toEqual(expect.arrayContaining(less));
    });
  });

  test('of good fulls no more stay by the counting rules than they count together', () => {
    forAny(fc.array(moment, { maxLength: 60 }), ({ keep_within_ms: _, ...rules }, __, timeZone, moments) => {
      const backups = moments.map((at, i) => backupAt(at, { id: `b${i}` }));
      const counts = Object.entries(rules).filter(([name, n]) => name.startsWith('keep_') && Number(n) > 0);
      const kept = applyPolicy(rules, backups, LATER, timeZone).filter(({ keep }) => keep);
      if (counts.length === 0) expect(kept).toHaveLength(backups.length);
      else expect(kept.length).toBeLessThanOrEqual(counts.reduce((sum, [, n]) => sum + Number(n), 0));
    });
  });

  test('a cap that is exceeded is named, and no other', () => {
    forAny(fc.constant(0), (rules, backups, timeZone) => {
      const { decisions, unmet } = planRetention(rules, backups, NOW, timeZone);
      const kept = new Set(decisions.filter(({ keep }) => keep).map(({ id }) => id));
      const data = backups.filter(({ id, state }) => state !== 'failed' && kept.has(id));
      const cap = rules.max_backups ?? Number.POSITIVE_INFINITY;
      expect(unmet.some((text) => text.startsWith('max_backups'))).toBe(data.length > cap);
      const total = rules.max_total_gb ?? Number.POSITIVE_INFINITY;
      expect(unmet.some((text) => text.startsWith('max_total_gb'))).toBe(data.length > total);
    });
  });
});
