import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import Driver from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { refuseOtherDatasource } from '../../src/cli/commands/restore-rules.ts';
import type { CatalogEntry } from '../../src/core/catalog.ts';
import { dguard, type Workspace, workspace } from './support.ts';

let place: Workspace;
let docsId: string;
let appId: string;
const at = (...parts: string[]) => place.path(...parts);
const run = (...args: string[]) => place.run(...args);
const undoCopies = () => readdirSync(place.folder).filter((name) => name.includes('.dguard-undo-'));

beforeAll(async () => {
  place = workspace();
  mkdirSync(at('docs/sub'), { recursive: true });
  writeFileSync(at('docs/a.txt'), 'backed up');
  writeFileSync(at('docs/sub/b.txt'), 'backed up');
  const database = new Driver(at('app.db'));
  database.exec('CREATE TABLE t (v); INSERT INTO t VALUES (1); CREATE TABLE u (v)');
  database.close();
  place.config({
    datasources: {
      docs: { type: 'files', source_path: 'docs' },
      app: { type: 'sqlite', file_path: 'app.db' },
      pg: { type: 'postgres', host: '127.0.0.1', port: 1, database: ['a', 'b'], username: 'nobody' },
    },
    destinations: { one: { type: 'local', path: 'one' }, two: { type: 'local', path: 'two' } },
    jobs: {
      both: { datasources: ['docs', 'app'], destinations: ['one', 'two'] },
      many: { datasources: ['pg'], destinations: ['one'] },
    },
  });
  expect((await run('backup', 'both')).code).toBe(0);
  const ids = await place.listed('one');
  docsId = ids.find(({ datasource }) => datasource.name === 'docs')!.id;
  appId = ids.find(({ datasource }) => datasource.name === 'app')!.id;
});
afterAll(() => place.remove());

describe('a dry run of what goes back', () => {
  it('leaves target and undo copies as they are, and says what would be', async () => {
    writeFileSync(at('docs/a.txt'), 'newer');
    expect((await run('restore', 'both', '--overwrite')).code).toBe(0);
    const kept = undoCopies();
    expect(kept).toHaveLength(2);
    const undo = await run('restore', 'both', '--undo', '--dry-run');
    expect(undo).toMatchObject({ code: 0, stderr: '' });
    expect(undo.stdout).toMatch(/docs: would: put back .*app: would: put back /s);
    const drop = await run('restore', 'both', '--drop-undo', '--dry-run', '--yes', '--json');
    const document = JSON.parse(drop.stdout) as { dropped: string[]; dry_run: boolean };
    expect([document.dry_run, document.dropped.length]).toEqual([true, 2]);
    expect(undoCopies()).toEqual(kept);
    expect(readFileSync(at('docs/a.txt'), 'utf8')).toBe('backed up');
    expect((await run('restore', 'both', '--undo', '--datasource', 'docs')).code).toBe(0);
    expect(readFileSync(at('docs/a.txt'), 'utf8')).toBe('newer');
    expect((await run('restore', 'both', '--drop-undo', '--yes')).code).toBe(0);
    const none = await run('restore', 'both', '--undo', '--dry-run');
    expect(none).toMatchObject({ code: 6 });
    expect(none.stderr).toContain('keeps anything for undo');
  });
});

describe('flags that say two things, or nothing here', () => {
  const refused: readonly (readonly [string, () => string[], string])[] = [
    ['undo of a part', () => ['restore', 'both', '--undo', '--only', 'a.txt'], '--only says what to restore'],
    ['undo at a time', () => ['restore', 'both', '--undo', '--at', '7d'], '--at says what to restore'],
    ['undo of which', () => ['restore', 'many', '--undo', '--dry-run'], 'does not name exactly one database'],
    ['recover, dry', () => ['restore', 'both', '--recover', '--dry-run'], 'there is no dry run of it'],
    ['an id and a time', () => ['restore', docsId, '--at', '7d', '--to-path', 'x'], '--at chooses among'],
    ['an id of another', () => ['restore', docsId, '--datasource', 'app', '--to-path', 'x'], 'it is of docs'],
    [
      'a version of another',
      () => ['rollback', 'both', docsId, '--datasource', 'app', '--yes'],
      'it is of docs',
    ],
    ['roles of files', () => ['restore', docsId, '--to-path', 'x', '--roles'], '--roles is about postgres'],
    ['set-uid of SQLite', () => ['restore', appId, '--to-path', 'x', '--privileged'], 'is about files'],
    [
      'all but these, and all others away',
      () => ['restore', appId, '--overwrite', '--only', 't', '--delete-extra', '--yes'],
      '--only leaves all else in place',
    ],
    ['all jobs and one', () => ['backup', '--all', 'both'], '--all is every job'],
    ['two places', () => ['backup', 'both', '--to', 'one', '--to', 'two'], 'is given twice: one, two'],
    ['two spellings', () => ['pin', docsId, '--from', 'one', '--destination', 'two'], 'are one option'],
    ['one and the newest', () => ['verify', docsId, '--newest', '2'], '--newest chooses among backups'],
    ['one and a share', () => ['verify', docsId, '--sample', '50%'], '--sample chooses among backups'],
    ['nobody', () => ['list', '--datasource', 'nosuch'], 'no datasource is called nosuch'],
    ['two forms', () => ['status', '--prometheus', '--json'], 'two forms of one output'],
  ];
  it.each(refused)('%s', async (_, args, why) => {
    const { code, stderr } = await run(...args());
    expect(stderr).toContain(why);
    expect(stderr).toMatch(/next:|"hint":/);
    expect(code).toBe(2);
    expect(undoCopies()).toEqual([]);
    expect(existsSync(at('x'))).toBe(false);
  });

  it('but what agrees is done: an id with its own datasource, an option said twice alike, a job named twice', async () => {
    const args = ['--datasource', 'docs', '--from', 'one', '--from', 'one', '--to-path', 'y'];
    expect((await run('restore', docsId, ...args)).code).toBe(0);
    const status = JSON.parse((await run('status', 'both', 'both', '--json')).stdout) as { rows: unknown[] };
    expect(status.rows).toHaveLength(4);
    const twice = await run('-c', 'backup.yaml', 'list', '--config', at('backup.yaml'));
    expect(twice, twice.stderr).toMatchObject({ code: 0 });
  });

  it('an id of one of several databases is of the datasource that is all of them', () => {
    const manifest = { id: 'x', job: 'j', datasource: { name: 'pg.app', type: 'postgres' }, database: 'app' };
    const refuse = (...datasource: string[]) =>
      refuseOtherDatasource('restore', { manifest } as unknown as CatalogEntry, undefined, { datasource });
    for (const one of ['pg', 'pg.app']) expect(() => refuse(one)).not.toThrow();
    for (const one of ['pg.other', 'p', 'app']) expect(() => refuse(one)).toThrow('it is of pg.app');
  });
});

it('of several names those that nothing bears are said', async () => {
  const { code, stderr } = await run(
    'restore',
    docsId,
    '--only',
    'sub',
    '--only',
    'nosuch',
    '--to-path',
    'z',
  );
  expect(stderr.trim()).toBe('warning: nosuch: nothing in the backup is named nosuch');
  expect([code, existsSync(at('z/sub/b.txt'))]).toEqual([0, true]);
});

it('a dry run of a backup says what it would be of', async () => {
  const { stdout } = await run('backup', 'both', '--dry-run', '--only', 'sub', '--tag', 'why=test');
  expect(stdout).toBe('both: docs, app -> one, two, full; only sub; tagged why=test\n');
});

it.each([
  ['a configuration that -c named', ['-c', 'elsewhere.yaml'], []],
  ['a destination alone', [], ['--from', './one', '--to-path', './again']],
])(
  'the command that takes a restore back works as it is printed, from any folder: %s',
  async (_, before, where) => {
    renameSync(at('backup.yaml'), at('elsewhere.yaml'));
    mkdirSync(at('again'), { recursive: true });
    writeFileSync(at('again/mine'), 'text');
    try {
      const done = await run(...before, 'restore', 'both', '--datasource', 'docs', '--overwrite', ...where);
      const [, command] = /to take it back: dguard (.*)$/m.exec(done.stdout)!;
      const back = await dguard(at('docs'), ...command!.split(' '));
      expect(back, back.stderr).toMatchObject({ code: 0 });
      expect(back.stdout).toContain('is what it was');
    } finally {
      renameSync(at('elsewhere.yaml'), at('backup.yaml'));
    }
  },
);
