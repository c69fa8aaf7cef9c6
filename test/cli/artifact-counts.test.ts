import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Workspace, workspace } from './support.ts';

let space: Workspace;

beforeAll(() => {
  space = workspace();
});
afterAll(() => space.remove());

/** An export is its tables and `schema.json`; 50 artifacts are the most that a manifest lists itself. */
it.each([49, 50, 51])('a backup of %i artifacts is good, and comes back', async (artifacts) => {
  const source = space.path(`app-${artifacts}.db`);
  const database = new Database(source);
  for (let table = 1; table < artifacts; table++)
    database.exec(`CREATE TABLE t${table} (n); INSERT INTO t${table} VALUES (${table})`);
  database.close();
  space.config({
    datasources: { db: { type: 'sqlite', file_path: source } },
    destinations: { here: { type: 'local', path: `./backups-${artifacts}` } },
    jobs: { job: { datasources: ['db'], destinations: ['here'], options: { format: 'jsonl' } } },
  });
  const { document, stderr } = await space.json('backup', 'job');
  expect(document.status, stderr).toBe('ok');
  const target = space.path(`restored-${artifacts}.db`);
  expect((await space.run('restore', 'job', '--to-path', target)).code).toBe(0);
  const restored = new Database(target, { readonly: true });
  const last = restored.prepare(`SELECT n FROM t${artifacts - 1}`).pluck();
  expect(last.all()).toEqual([artifacts - 1]);
  restored.close();
});
