import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import Driver from 'better-sqlite3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWithCommands } from '../services/needs.ts';
import { type Document, workspace } from './support.ts';

const JOB = `diff-${process.pid}`;
const TABLES = `${JOB}-tables`;
const place = workspace();
afterAll(() => place.remove());

const AT = new Date('2026-01-02T03:04:05Z');

/** The ids of a backup of the files and of the database. */
async function backup(job = JOB): Promise<[string, string]> {
  const { code, stdout, stderr } = await place.run('backup', job, '--json');
  expect(code, stderr).toBe(0);
  const { backups } = JSON.parse(stdout) as Document;
  const idOf = (name: string) => backups.find(({ datasource }) => datasource.name === name)!.id;
  return [idOf('files'), idOf('db')];
}

async function diff(...names: string[]): Promise<string[]> {
  const text = await place.run('diff', ...names);
  const json = await place.run('diff', ...names, '--json');
  expect([text.code, json.code]).toEqual([0, 0]);
  const { changes } = JSON.parse(json.stdout) as { changes: { change: string; path: string }[] };
  const lines = changes.map(({ change, path }) => `${change.padEnd(8)} ${path || '.'}`);
  expect(text.stdout).toBe(`${lines.join('\n')}${lines.length > 0 ? '\n' : ''}`);
  return lines.map((line) => line.replace(/ +/, ' '));
}

let first: [string, string];
let second: [string, string];
beforeAll(async () => {
  mkdirSync(place.path('src/b'), { recursive: true });
  for (const name of ['a', 'b/x', 'b/y', 'b-c', 'same']) writeFileSync(place.path('src', name), name);
  const database = new Driver(place.path('app.db'));
  database.exec("CREATE TABLE t (v TEXT); INSERT INTO t VALUES ('one'); CREATE TABLE other (v TEXT)");
  place.config({
    datasources: {
      files: { type: 'files', source_path: './src' },
      db: { type: 'sqlite', file_path: './app.db' },
    },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: {
      [JOB]: { datasources: ['files', 'db'], destinations: ['here'] },
      [TABLES]: { datasources: ['files', 'db'], destinations: ['here'], options: { format: 'jsonl' } },
    },
  });
  first = await backup();
  writeFileSync(place.path('src/a'), 'b');
  rmSync(place.path('src/b/x'));
  renameSync(place.path('src/b-c'), place.path('src/b/z'));
  for (const folder of ['src', 'src/b']) utimesSync(place.path(folder), AT, AT);
  database.exec("UPDATE t SET v = 'two'");
  database.close();
  second = await backup();
});

it('shows what came, went and changed, in the order of paths', async () => {
  expect(await diff(first[0], second[0])).toEqual([
    'changed .',
    'changed a',
    'changed b',
    'removed b/x',
    'added b/z',
    'removed b-c',
  ]);
  expect(await diff(second[0], first[0])).toContain('added b-c');
});

it('shows a database as changed whose rows are others, though as many and as long', async () => {
  expect(await diff(first[1], second[1])).toEqual(['changed database.db']);
});

it('shows nothing of a backup and itself', async () => {
  expect(await diff(first[0], first[0])).toEqual([]);
  expect(await diff(second[1], second[1])).toEqual([]);
});

it('shows the tables whose rows are others, of exports with more artifacts than a manifest lists too', async () => {
  const database = new Driver(place.path('app.db'));
  const [, few] = await backup(TABLES);
  for (let i = 0; i < 60; i++) database.exec(`CREATE TABLE more${i} (v TEXT)`);
  const [, many] = await backup(TABLES);
  const came = await diff(few, many);
  expect(came.filter((line) => line.endsWith('.jsonl'))).toEqual(
    came.filter((line) => /^added more\d+\.jsonl$/.test(line)),
  );
  database.exec("UPDATE t SET v = 'six'");
  database.close();
  const [, changed] = await backup(TABLES);
  expect(await diff(many, changed)).toEqual(['changed schema.json', 'changed t.jsonl']);
});

describeWithCommands(['setfattr'], 'diff', () => {
  it('shows a file of which an attribute changed', async () => {
    const [before] = await backup();
    execFileSync('setfattr', ['-n', 'user.comment', '-v', 'seen', place.path('src/same')]);
    const [after] = await backup();
    expect(await diff(before, after)).toEqual(['changed same']);
  });
});
