import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { RetentionPolicy } from '../../src/config/types/jobs.ts';
import { applyPolicy } from '../../src/plan/retention-policy.ts';
import { backupAt, NOW } from './support-retention.ts';

/** See make-retention-fixtures.mjs for what these say and how they are made. */
interface Fixture {
  timeZone: string;
  times: number[];
  histories: number[][];
  policies: Record<string, number>[];
  kept: string[][];
}

const FOLDER = new URL('../../fixtures/retention/', import.meta.url);
const fixtures = readdirSync(FOLDER).map(
  (name) => JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8')) as Fixture,
);

describe("the policy step keeps what restic's forget keeps, for the same reasons", () => {
  test.each(fixtures)('in $timeZone', ({ timeZone, times, histories, policies, kept }) => {
    policies.forEach((rules, p) => {
      histories.forEach((positions, h) => {
        const backups = positions.map((at) =>
          backupAt(new Date((times[at] ?? Number.NaN) * 1000), { id: String(at) }),
        );
        const decisions = applyPolicy(policyOf(rules), backups, NOW, timeZone);
        const ours = decisions
          .filter(({ keep }) => keep)
          .map(({ id, reasons }) => `${id} ${letters(reasons)}`);
        expect(ours.join(' '), `${JSON.stringify(rules)} on history ${h}`).toBe(kept[p]?.[h]);
      });
    });
  });

  test('on at least 1,000 pairs of history and policy, every rule and the oldest-kept rule among them', () => {
    const pairs = fixtures.flatMap(({ kept }) => kept.flat()).filter((text) => text !== '');
    expect(pairs.length).toBeGreaterThanOrEqual(1000);
    for (const reason of ['l', 'h', 'd', 'w', 'm', 'y', 'W', 'od', 'ow', 'om', 'oy']) {
      expect(pairs.filter((text) => new RegExp(`(?<!o)${reason}`).test(text)).length).toBeGreaterThan(10);
    }
  });
});

function policyOf({ within_hours, ...counts }: Record<string, number>): RetentionPolicy {
  const rules = Object.fromEntries(Object.entries(counts).map(([rule, count]) => [`keep_${rule}`, count]));
  const within = within_hours === undefined ? {} : { keep_within_ms: within_hours * 3_600_000 };
  return { ...rules, ...within, auto_delete: false };
}

/** Our reasons as the fixtures write restic's. */
function letters(reasons: readonly string[]): string {
  const short = reasons.map((reason) => {
    const [, rule = ''] = /^keep_(\w+)/.exec(reason) ?? [];
    if (rule === 'within') return 'W';
    return `${reason.includes(': the oldest') ? 'o' : ''}${rule[0]}`;
  });
  return short.sort().join('');
}
