import { expect, it } from 'vitest';
import type { Config } from '../../src/config/types.ts';
import type { CatalogEntry } from '../../src/core/catalog.ts';
import { newestGoodRun } from '../../src/core/job-runs.ts';

/** The databases of a server, as their backups lie at a destination. */

const now = new Date('2026-03-10T00:00:00Z');

function backup(day: number, database: string | undefined, good = true, count?: number): CatalogEntry {
  const name = database === undefined ? 'pg' : `pg.${database}`;
  const created_at = `2026-03-0${day}T00:00:00.000Z`;
  const manifest = {
    id: `full-${day}-${name}`,
    run_id: `run-${day}`,
    job: 'j',
    datasource: { name, type: 'postgres' },
    ...(database === undefined ? {} : { database }),
    ...(count === undefined ? {} : { databases_count: count }),
    created_at,
    tags: [],
    status: good ? 'completed' : 'failed',
    source_identity: name,
  };
  return { manifest, good, state: manifest.status } as unknown as CatalogEntry;
}

const configOf = (databases: readonly string[] | 'all') =>
  ({
    defaults: { namespace: '' },
    datasources: {
      pg: {
        name: 'pg',
        type: 'postgres',
        all_databases: databases === 'all',
        database: databases === 'all' ? [] : databases,
      },
    },
    jobs: { j: { name: 'j', datasources: ['pg'], formerly: [], same_source: false } },
  }) as unknown as Config;

function chosen(entries: readonly CatalogEntry[], databases?: readonly string[] | 'all') {
  const config = databases && configOf(databases);
  const { copies, passedOver } = newestGoodRun(entries, 'j', { now, config });
  return { ids: copies.map(({ manifest }) => manifest!.id).sort(), passedOver: passedOver.join() };
}

it('of listed databases all are wanted: a run that was killed after the first is passed over', () => {
  const entries = [backup(3, 'a'), backup(2, 'b'), backup(2, 'a')];
  expect(chosen(entries, ['a', 'b'])).toEqual({
    ids: ['full-2-pg.a', 'full-2-pg.b'],
    passedOver: expect.stringContaining('pg.b is missing'),
  });
  // One that is no longer listed is not waited for.
  expect(chosen([backup(3, 'a'), backup(3, 'c'), ...entries.slice(1)], ['a', 'c']).ids).toEqual([
    'full-3-pg.a',
    'full-3-pg.c',
  ]);
});

it('of all databases those are wanted that the run, or the one before it, has met', () => {
  const first = [backup(1, 'b'), backup(1, 'a')];
  expect(chosen([backup(2, 'a'), ...first], 'all')).toEqual({
    ids: ['full-1-pg.a', 'full-1-pg.b'],
    passedOver: expect.stringContaining('pg.b is missing'),
  });
  // Dropped for good: two runs agree.
  expect(chosen([backup(3, 'a'), backup(2, 'a'), ...first], 'all').ids).toEqual(['full-3-pg.a']);
  // Where the server could not be asked, the run holds nothing of it.
  expect(chosen([backup(2, undefined, false), ...first], 'all').ids).toEqual(['full-1-pg.a', 'full-1-pg.b']);
});

it.each(['all', undefined] as const)(
  'a run that says how many there were is whole or not by itself (%s)',
  (databases) => {
    const of = (day: number, names: readonly string[], count: number) =>
      names.map((name) => backup(day, name, true, count));
    const first = of(1, ['a', 'b'], 2);
    // Dropped before the second run, which is whole.
    expect(chosen([...of(2, ['a'], 1), ...first], databases)).toEqual({
      ids: ['full-2-pg.a'],
      passedOver: '',
    });
    // It had one database, and then several.
    expect(chosen([...of(2, ['a', 'b'], 2), backup(1, undefined)], databases).ids).toEqual([
      'full-2-pg.a',
      'full-2-pg.b',
    ]);
    // Killed.
    expect(chosen([...of(2, ['a'], 2), ...first], databases)).toEqual({
      ids: ['full-1-pg.a', 'full-1-pg.b'],
      passedOver: expect.stringContaining('pg.b is missing'),
    });
    // Killed, and what it lacks was never there before.
    expect(chosen([...of(2, ['a', 'b'], 3), ...first], databases)).toEqual({
      ids: ['full-1-pg.a', 'full-1-pg.b'],
      passedOver: expect.stringContaining('pg has 2 of 3 databases'),
    });
  },
);

it('one of several databases, or all of them, are picked by name, whatever the configuration knows; each once', () => {
  const run = ['a', 'b', 'c'].map((name) => backup(2, name, true, 3));
  const empty = { ...configOf('all'), datasources: {}, jobs: {} } as unknown as Config;
  const all = ['full-2-pg.a', 'full-2-pg.b', 'full-2-pg.c'];
  for (const config of [undefined, empty, configOf('all')]) {
    const picked = (...datasources: string[]) =>
      newestGoodRun(run, 'j', { now, config, datasources })
        .copies.map(({ manifest }) => manifest!.id)
        .sort();
    expect(picked('pg.a')).toEqual(['full-2-pg.a']);
    expect(picked('pg')).toEqual(all);
    expect(picked('pg', 'pg.a', 'pg')).toEqual(all);
  }
});

it('without a configuration what the job had before its last two runs is not waited for', () => {
  const lone = (day: number, name: string) => {
    const entry = backup(day, undefined);
    const id = `full-${day}-${name}`;
    return { ...entry, manifest: { ...entry.manifest!, id, datasource: { name, type: 'files' } } };
  };
  const entries = [lone(3, 'web'), lone(2, 'web'), lone(1, 'web'), lone(1, 'old')];
  const { copies, leftOut } = newestGoodRun(entries, 'j', { now });
  expect(copies.map(({ manifest }) => manifest!.id)).toEqual(['full-3-web']);
  expect(leftOut).toEqual(['old, last in the run of 2026-03-01T00:00:00.000Z']);
});
