import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Driver from 'better-sqlite3';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadCommands, recoverCommands } from '../../src/core/recover.ts';
import { sealManifest } from '../../src/manifest/parse.ts';
import type { Manifest } from '../../src/manifest/types.ts';
import { snapshotOf, type Workspace, workspace } from './support.ts';

let space: Workspace;
beforeEach(() => {
  space = workspace();
});
afterEach(() => space.remove());

it.each(['none', 'gzip'])(
  'the printed commands (%s) leave a backup whole whose names are those of what it holds',
  async (compression) => {
    mkdirSync(space.path('web'));
    for (const name of ['manifest.json', 'SHA256SUMS', 'index.zst'])
      writeFileSync(space.path('web', name), name);
    const database = new Driver(space.path('app.db'));
    database.exec("CREATE TABLE t (v); INSERT INTO t VALUES ('kept')");
    database.close();
    space.config({
      datasources: {
        web: { type: 'files', source_path: 'web' },
        app: { type: 'sqlite', file_path: 'app.db' },
      },
      destinations: { disk: { type: 'local', path: 'backups' } },
      jobs: { j: { datasources: ['web', 'app'], destinations: ['disk'], options: { compression } } },
    });
    expect((await space.run('backup', 'j')).code).toBe(0);
    const before = snapshotOf(space.path('backups'));
    for (const { id, datasource, computed } of await space.listed()) {
      const { stdout } = await space.run('show', id);
      const [, printed] = stdout.split('without dguard, in its folder:\n');
      const cwd = space.path('backups', computed.folder);
      const env = { ...process.env, HOME: space.folder };
      execFileSync('sh', ['-ec', printed!], { cwd, env });
      // Typed once more, without -e: the new folder is in the way, and nothing is done where the shell still is.
      expect(spawnSync('sh', ['-s'], { cwd, env, input: printed! }).status).not.toBe(0);
      const unpacked = space.path(`restored-${id}`);
      if (datasource.name === 'web') {
        expect(readdirSync(unpacked).sort()).toEqual(['SHA256SUMS', 'index.zst', 'manifest.json']);
        expect(readFileSync(`${unpacked}/manifest.json`, 'utf8')).toBe('manifest.json');
      } else {
        const restored = new Driver(`${unpacked}/database.db`, { readonly: true });
        expect(restored.prepare('SELECT v FROM t').pluck().get()).toBe('kept');
        restored.close();
      }
    }
    expect(snapshotOf(space.path('backups'))).toEqual(before);
  },
);

it('a backup of as many artifacts as a manifest lists is made, and its commands are in it', async () => {
  const database = new Driver(space.path('app.db'));
  // With schema.json, 50 artifacts.
  for (let i = 0; i < 49; i++) database.exec(`CREATE TABLE t${i} (v)`);
  database.close();
  space.config({
    datasources: { app: { type: 'sqlite', file_path: 'app.db' } },
    destinations: { disk: { type: 'local', path: 'backups' } },
    jobs: {
      j: {
        datasources: ['app'],
        destinations: ['disk'],
        options: { format: 'jsonl', compression: 'gzip' },
      },
    },
  });
  const made = await space.run('backup', 'j');
  expect(made.code, made.stderr).toBe(0);
  const [backup] = await space.listed();
  expect(backup!.artifacts).toHaveLength(50);
  const cwd = space.path('backups', backup!.computed.folder);
  const env = { ...process.env, HOME: space.folder };
  const { recover } = JSON.parse(readFileSync(`${cwd}/manifest.json`, 'utf8')) as Manifest;
  execFileSync('sh', ['-ec', recover.join('\n')], { cwd, env });
  expect(readdirSync(space.path(`restored-${backup!.id}`))).toHaveLength(50);
});

it('of more artifacts than a manifest lists, the printed command names the reader that comes with dguard', async ({
  skip,
}) => {
  if (spawnSync('python3', ['--version']).status !== 0) return skip('needs python3');
  if (spawnSync('zstd', ['--version']).status !== 0) return skip('needs zstd');
  const database = new Driver(space.path('app.db'));
  for (let i = 0; i < 50; i++) database.exec(`CREATE TABLE t${i} (v)`);
  database.close();
  space.config({
    datasources: { app: { type: 'sqlite', file_path: 'app.db' } },
    destinations: { disk: { type: 'local', path: 'backups' } },
    jobs: { j: { datasources: ['app'], destinations: ['disk'], options: { format: 'jsonl' } } },
  });
  expect((await space.run('backup', 'j')).code).toBe(0);
  const [backup] = await space.listed();
  expect(backup!.artifacts).not.toBeInstanceOf(Array);
  const { stdout } = await space.run('show', backup!.id);
  const [, printed] = stdout.split('without dguard, in its folder:\n');
  const reader = fileURLToPath(new URL('../recover/recover.py', import.meta.url));
  const cwd = space.path('backups', backup!.computed.folder);
  const env = { ...process.env, HOME: space.folder };
  execFileSync('sh', ['-ec', printed!.replace('python3 recover.py', `python3 '${reader}'`)], { cwd, env });
  expect(readdirSync(space.path(`restored-${backup!.id}`))).toHaveLength(51);
});

it('how an export is loaded does not depend on where its artifacts are listed', () => {
  const summary = { count: 60, objects: 60, bytes: 1, sha256: '0'.repeat(64) };
  const listed = [{ member: 'schema.sql', format: 'sql' }] as Manifest['artifacts'];
  const facts = {
    consistency: 'snapshot',
    engine: { schema: 'shop', charset: 'utf8mb4', collation: 'utf8mb4_bin', flavour: 'mariadb' },
  } as const;
  const linesOf = (type: string, artifacts: Manifest['artifacts']) =>
    loadCommands({ artifacts, datasource: { name: 'app', type }, facts });
  expect(linesOf('mysql', summary)).toEqual(linesOf('mysql', listed));
  expect(linesOf('mysql', summary)[0]).toMatch(/^mariadb -e .*CREATE DATABASE/);
  for (const type of ['files', 'sqlite', 'sqlserver']) expect(linesOf(type, summary)).toEqual([]);
});

it('the commands of an older manifest, which unpack into the backup, are printed nowhere', async () => {
  space.write('app.txt', 'kept');
  space.config({
    datasources: { web: { type: 'files', source_path: 'app.txt' } },
    destinations: { disk: { type: 'local', path: 'backups' } },
    jobs: { j: { datasources: ['web'], destinations: ['disk'] } },
  });
  expect((await space.run('backup', 'j')).code).toBe(0);
  const [made] = await space.listed();
  const file = space.path('backups', made!.computed.folder, 'manifest.json');
  const { integrity: _, ...draft } = JSON.parse(readFileSync(file, 'utf8')) as Manifest;
  const old = 'sha256sum -c SHA256SUMS && tar -xf web.tar';
  writeFileSync(file, sealManifest({ ...draft, recover: [old] }).text);

  const listed = await space.json('list');
  const shown = await space.json('show', made!.id);
  expect([listed.code, shown.code]).toEqual([0, 0]);
  for (const { document } of [listed, shown]) expect(JSON.stringify(document)).not.toContain(old);
  expect(listed.document.backups[0]!.recover).toEqual(draft.recover);
  expect((shown.document as unknown as { backup: Manifest }).backup.recover).toEqual(draft.recover);
});

it('a database whose name looks like an option is unpacked too', () => {
  const [, command] = recoverCommands([{ name: 'x.bson', member: "-x y/it's.bson", stored_size: 0 }], 'none');
  execFileSync('sh', ['-ec', command!], { cwd: space.folder });
  expect(readdirSync(space.path('-x y'))).toEqual(["it's.bson"]);
});
