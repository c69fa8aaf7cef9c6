import { describe, expect, test } from 'vitest';
import { backupAt, NOW, plan } from './support-retention.ts';

const DAY_MS = 86_400_000;
const daily = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    backupAt(new Date(NOW.getTime() - 3_600_000 - i * DAY_MS), { id: `day-${i}` }),
  );

describe('the policy', () => {
  test.each([{}, { keep_last: 0 }, { keep_daily: 0, keep_yearly: 0 }])('%j deletes nothing', (policy) => {
    expect(plan(policy, daily(5)).remove).toEqual([]);
  });

  test('periods without a backup use up nothing, whatever the day is now', () => {
    const backups = ['2026-11-20', '2026-10-01', '2026-09-30', '2026-02-01'].map((day) => backupAt(day));
    const { keep, reasons } = plan({ keep_daily: 3 }, backups, { now: new Date('2029-01-01') });
    expect(keep).toEqual(['2026-11-20', '2026-10-01', '2026-09-30']);
    expect(reasons['2026-10-01']).toEqual(['keep_daily 2 of 3: newest of 2026-10-01']);
    expect(reasons['2026-02-01']).toEqual(['no keep rule chose it']);
  });

  test('while counts remain, the oldest stays', () => {
    const backups = ['2026-11-20', '2026-11-10', '2026-11-01'].map((day) => backupAt(day));
    const { keep, reasons } = plan({ keep_yearly: 3 }, backups);
    expect(keep).toEqual(['2026-11-20', '2026-11-01']);
    expect(reasons['2026-11-01']).toEqual(['keep_yearly: the oldest, while only 1 of 3 are there']);
  });

  test('keep_within is measured from the newest backup, so nothing ages away once backups stop', () => {
    const backups = daily(3);
    const later = new Date(NOW.getTime() + 400 * DAY_MS);
    expect(plan({ keep_within_ms: 10 * DAY_MS }, backups, { now: later }).remove).toEqual([]);
  });

  test('keep_within also keeps the youngest good one older than the span, as a step of its own', () => {
    const { keep, reasons } = plan({ keep_within_ms: 1.5 * DAY_MS }, [
      ...daily(6),
      backupAt(new Date(NOW.getTime() - 1.8 * DAY_MS), { id: 'partial', state: 'partial' }),
    ]);
    expect(keep).toEqual(['day-0', 'day-1', 'day-2']);
    expect(reasons['day-2']).toEqual(['keep_within: covers the beginning of the 1d12h']);
  });

  test('days are those of the configured zone', () => {
    const backups = [backupAt('2026-11-20T02:30:00Z'), backupAt('2026-11-19T12:00:00Z')];
    expect(plan({ keep_daily: 1 }, backups, { timeZone: 'America/Sao_Paulo' }).keep).toHaveLength(1);
    expect(plan({ keep_daily: 2 }, backups, { timeZone: 'America/Sao_Paulo' }).reasons).toMatchObject({
      '2026-11-19T12:00:00Z': ['keep_daily: the oldest, while only 1 of 2 are there'],
    });
    expect(plan({ keep_daily: 2 }, backups).reasons).toMatchObject({
      '2026-11-19T12:00:00Z': ['keep_daily 2 of 2: newest of 2026-11-19'],
    });
  });
});

describe('what is not good', () => {
  test('a partial backup stands for its period only where no completed one does', () => {
    const backups = [
      backupAt('2026-11-20T20:00:00Z', { state: 'partial' }),
      backupAt('2026-11-20T03:00:00Z'),
      backupAt('2026-11-19T20:00:00Z', { state: 'partial' }),
      backupAt('2026-11-18T03:00:00Z'),
    ];
    expect(plan({ keep_daily: 2 }, backups).keep).toEqual(['2026-11-20T03:00:00Z', '2026-11-19T20:00:00Z']);
  });

  test('where partial ones use up the counts, the newest completed one stays besides', () => {
    const backups = [
      backupAt('2026-11-20', { state: 'partial' }),
      backupAt('2026-11-19', { state: 'partial' }),
      backupAt('2026-11-18'),
      backupAt('2026-11-17'),
    ];
    const { keep, reasons } = plan({ keep_last: 2 }, backups);
    expect(keep).toEqual(['2026-11-20', '2026-11-19', '2026-11-18']);
    expect(reasons['2026-11-18']).toEqual(['the newest good backup']);
  });

  test.each(['suspect', 'broken', 'damaged', 'verify failed'] as const)(
    'a %s one never counts, and never goes',
    (state) => {
      const backups = [
        backupAt('2026-11-20', { state }),
        backupAt('2026-11-19'),
        backupAt('2026-11-18', { state }),
        backupAt('2026-11-17'),
      ];
      const { keep, remove, reasons } = plan({ keep_last: 1, max_backups: 1 }, backups);
      expect(keep).toEqual(['2026-11-20', '2026-11-19', '2026-11-18']);
      expect(remove).toEqual(['2026-11-17']);
      expect(reasons['2026-11-20']?.[0]).toContain(state);
    },
  );

  test('an accepted one is good: it counts, and may be the newest good', () => {
    const backups = [backupAt('2026-11-20', { state: 'suspect', good: true }), backupAt('2026-11-19')];
    expect(plan({ keep_last: 1 }, backups).keep).toEqual(['2026-11-20']);
  });

  test('records of failed runs stay 90 days, and the newest 20 of them for ever', () => {
    const failed = (i: number) =>
      backupAt(new Date(NOW.getTime() - (i + 80) * DAY_MS), { id: `failed-${i}`, state: 'failed' });
    const { remove } = plan({ keep_last: 1 }, [
      backupAt('2026-11-20'),
      ...Array.from({ length: 25 }, (_, i) => failed(i)),
    ]);
    expect(remove).toEqual(['failed-20', 'failed-21', 'failed-22', 'failed-23', 'failed-24']);
    const recent = Array.from({ length: 40 }, (_, i) =>
      backupAt(new Date(NOW.getTime() - i * DAY_MS), { id: `failed-${i}`, state: 'failed' }),
    );
    expect(plan({ keep_last: 1 }, recent).remove).toEqual([]);
  });

  test('one dated more than an hour ahead stays, and is never the newest', () => {
    const backups = [
      backupAt('2026-11-21T13:00:01Z'),
      backupAt('2027-11-21', { state: 'failed' }),
      backupAt('2026-11-20'),
      backupAt('2026-11-19'),
    ];
    const { keep, reasons } = plan({ keep_last: 1, keep_within_ms: 1000 }, backups);
    expect(keep).toEqual(['2027-11-21', '2026-11-21T13:00:01Z', '2026-11-20', '2026-11-19']);
    expect(reasons['2026-11-20']).toContain('the newest good backup');
    expect(reasons['2026-11-19']).toEqual(['keep_within: covers the beginning of the 1s']);
    expect(plan({ keep_last: 1 }, [backupAt('2026-11-21T13:00:00Z'), backupAt('2026-11-20')]).keep).toEqual([
      '2026-11-21T13:00:00Z',
    ]);
  });
});

describe('snapshots, checkpoints, pins', () => {
  test('a snapshot is outside the rotation: it goes when it expires, and only then', () => {
    const snapshot = (id: string, expires?: string) =>
      backupAt('2026-11-21T10:00:00Z', {
        id,
        type: 'snapshot',
        ...(expires ? { expires: new Date(expires) } : {}),
      });
    const backups = [
      snapshot('for-ever'),
      snapshot('expired', '2026-11-21T12:00:00Z'),
      snapshot('not-yet', '2026-11-21T12:00:01Z'),
      { ...snapshot('safety', '2026-11-20'), tags: ['safety'] },
      { ...snapshot('pinned', '2026-11-20'), pinned: true },
      backupAt('2026-11-20'),
    ];
    const { keep, remove } = plan({ keep_last: 1, max_backups: 1 }, backups);
    expect(remove.sort()).toEqual(['expired', 'safety']);
    expect(keep).toContain('2026-11-20');
  });

  test('the only good backup stays though it is a snapshot that expired', () => {
    const backups = [
      backupAt('2026-10-02', { type: 'snapshot', expires: new Date('2026-10-09'), tags: ['safety'] }),
      backupAt('2026-10-01', { type: 'snapshot', expires: new Date('2026-10-08') }),
      backupAt('2026-09-01', { state: 'broken' }),
    ];
    expect(plan({ keep_last: 1 }, backups).keep).toEqual(['2026-10-01', '2026-09-01']);
  });

  test('pinned ones stay beside what the rules keep, and count in their periods', () => {
    const backups = [
      backupAt('2026-11-20', { type: 'checkpoint', pinned: true }),
      backupAt('2026-11-19'),
      backupAt('2026-11-18', { pinned: true }),
    ];
    const { keep, reasons } = plan({ keep_last: 1 }, backups);
    expect(keep).toEqual(['2026-11-20', '2026-11-18']);
    expect(reasons['2026-11-18']).toEqual(['pinned']);
  });
});

describe('what a kept one needs stays', () => {
  const chain = [
    backupAt('2026-11-20', { id: 'c', type: 'incremental', references: ['b', 'lost'] }),
    backupAt('2026-11-19', { id: 'b', type: 'incremental', references: ['a'] }),
    backupAt('2026-11-18', { id: 'a' }),
    backupAt('2026-11-17', { id: 'older' }),
  ];

  test('through others too', () => {
    const { keep, reasons, holds } = plan({ keep_last: 1 }, chain);
    expect(keep).toEqual(['c', 'b', 'a']);
    expect(reasons['a']).toEqual(['needed by b']);
    expect(holds['a']).toBe('need');
  });

  test('also what a suspect, a pinned and a future one need', () => {
    const backups = [
      backupAt('2026-11-20', { id: 'new' }),
      backupAt('2026-11-10', { id: 's', state: 'suspect', references: ['x'] }),
      backupAt('2026-11-09', { id: 'p', pinned: true, references: ['y'] }),
      backupAt('2027-11-09', { id: 'f', references: ['z'] }),
      ...['x', 'y', 'z', 'w'].map((id) => backupAt('2026-11-01', { id })),
    ];
    expect(plan({ keep_last: 1 }, backups).remove).toEqual(['w']);
  });

  test('a cycle of references ends, and stays', () => {
    const backups = [
      backupAt('2026-11-20', { id: 'a', references: ['b', 'a'] }),
      backupAt('2026-11-19', { id: 'b', references: ['a'] }),
    ];
    expect(plan({ keep_last: 1, max_backups: 1 }, backups)).toMatchObject({ keep: ['a', 'b'] });
  });
});

describe('several sources under one name', () => {
  test('the newest good one of each that may still write stays: of three, for 35 days', () => {
    const of = (source: string, at: string, facts = {}) => backupAt(at, { source, ...facts });
    const backups = [
      of('a', '2026-11-20'),
      of('b', '2026-11-19', { good: false, state: 'verify failed' }),
      of('b', '2026-11-18'),
      of('b', '2026-11-17'),
      of('c', '2026-11-16'),
      of('old', '2026-10-16'),
    ];
    const { keep, reasons, holds } = plan({ keep_last: 1 }, backups);
    expect(keep).toEqual(['2026-11-20', '2026-11-19', '2026-11-18', '2026-11-16']);
    expect(reasons['2026-11-19']!.join()).not.toContain('another source');
    expect(reasons['2026-11-18']).toEqual([
      'the newest good backup of another source, b, which may still write here',
    ]);
    // No cap goes below it either.
    expect(holds['2026-11-16']).toBe('floor');
    expect(plan({ keep_last: 1, max_backups: 1 }, backups).keep).toEqual(keep);
    // A host whose name changes with every run does not keep them all.
    const many = Array.from({ length: 20 }, (_, i) =>
      of(`host-${i}`, `2026-11-${20 - i}`.replace(/-(\d)$/, '-0$1')),
    );
    expect(plan({ keep_last: 1 }, many).keep).toEqual([
      '2026-11-20',
      '2026-11-19',
      '2026-11-18',
      '2026-11-17',
    ]);
    expect(
      plan(
        { keep_last: 1 },
        backups.map((each) => ({ ...each, source: undefined })),
      ).keep,
    ).toEqual(['2026-11-20', '2026-11-19']);
  });
});

describe('caps', () => {
  test('the oldest go first until the cap holds', () => {
    const { keep, reasons, unmet } = plan({ max_backups: 2 }, daily(5));
    expect(keep).toEqual(['day-0', 'day-1']);
    expect(reasons['day-4']).toEqual(['over max_backups 2: the oldest that nothing needs']);
    expect(unmet).toEqual([]);
  });

  test('max_total_gb counts what all that stays occupies, suspects and pins included', () => {
    const backups = [...daily(4), backupAt('2026-01-01', { state: 'suspect' })];
    expect(plan({ max_total_gb: 3 }, backups).keep).toEqual(['day-0', 'day-1', '2026-01-01']);
    expect(plan({ max_total_gb: 3.9 }, backups).keep).toEqual(['day-0', 'day-1', '2026-01-01']);
  });

  test('never below the floors; what stays unmet is said', () => {
    const backups = [
      backupAt('2026-11-20', { id: 'top', type: 'incremental', references: ['base'] }),
      backupAt('2026-11-19', { id: 'loose' }),
      backupAt('2026-11-18', { id: 'base' }),
      backupAt('2026-11-17', { id: 'pin', pinned: true }),
    ];
    const { keep, unmet } = plan({ max_backups: 1, max_total_gb: 2 }, backups);
    expect(keep).toEqual(['top', 'base', 'pin']);
    expect(unmet).toHaveLength(2);
    expect(unmet[0]).toMatch(/^max_backups 1: 3 backups must stay/);
    expect(unmet[1]).toMatch(/^max_total_gb 2: 3\.00 GiB must stay/);
  });

  test('of a chain the ends that nothing needs go before the base, and a base kept for them goes along', () => {
    const backups = [
      backupAt('2026-11-20', { id: 'new' }),
      backupAt('2026-11-12', { id: 'i2', type: 'incremental', references: ['i1', 'full'] }),
      backupAt('2026-11-11', { id: 'i1', type: 'incremental', references: ['full'] }),
      backupAt('2026-11-10', { id: 'full' }),
    ];
    expect(plan({ max_backups: 3 }, backups).keep).toEqual(['new', 'i1', 'full']);
    const { keep, reasons } = plan({ keep_last: 2, max_backups: 2 }, backups);
    expect(keep).toEqual(['new']);
    expect(reasons['full']).toEqual(['was needed by i2 only']);
  });

  test('records of failed runs neither count nor go for a cap', () => {
    const backups = [backupAt('2026-11-20'), backupAt('2026-11-19', { state: 'failed' })];
    expect(plan({ max_backups: 1 }, backups)).toMatchObject({ remove: [], unmet: [] });
  });
});

test('a plan of ten thousand backups, half of them in long chains, leaves every chain whole', () => {
  const backups = Array.from({ length: 10_000 }, (_, i) =>
    backupAt(new Date(NOW.getTime() - i * 3_600_000), {
      id: `b${i}`,
      references:
        i % 100 === 99 ? [] : Array.from({ length: Math.min(20, 99 - (i % 100)) }, (_, r) => `b${i + 1 + r}`),
    }),
  );
  const { keep, remove } = plan({ keep_daily: 30, keep_monthly: 12, max_backups: 200 }, backups);
  expect(keep.length).toBeGreaterThan(30);
  expect(remove.length).toBeGreaterThan(5000);
  const kept = new Set(keep);
  const isBroken = ({ id, references }: (typeof backups)[number]) =>
    kept.has(id) && references.some((other) => !kept.has(other));
  expect(backups.filter(isBroken)).toEqual([]);
});
