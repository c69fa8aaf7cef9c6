import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import Driver from 'better-sqlite3';
import { afterEach, beforeEach, expect, it } from 'vitest';
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
      execFileSync('sh', ['-ec', printed!], { cwd, env: { ...process.env, HOME: space.folder } });
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
