import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Workspace, workspace } from './support.ts';

/** Latin-1, beyond it, beyond the BMP, and what paths and patterns would stumble over. */
const NAMES = ['größe', '表', '🗄', 'a/b%c', 'with space', "it's", '"quoted"', 'UPPER'];

let space: Workspace;

beforeAll(() => {
  space = workspace();
  const database = new Database(space.path('app.db'));
  for (const [i, name] of NAMES.entries()) {
    const quoted = `"${name.replaceAll('"', '""')}"`;
    database.exec(`CREATE TABLE ${quoted} (id INTEGER PRIMARY KEY, t TEXT)`);
    for (let row = 0; row <= i; row++) database.exec(`INSERT INTO ${quoted} (t) VALUES ('${row}')`);
  }
  database.close();
  const job = { datasources: ['db'], destinations: ['here'], type: 'full' };
  space.config({
    datasources: { db: { type: 'sqlite', file_path: './app.db' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { native: job, jsonl: { ...job, options: { format: 'jsonl' } } },
  });
});
afterAll(() => space.remove());

it.each(['native', 'jsonl'])(
  'tables of any name come back, %s, by verify, restore and --only',
  async (job) => {
    const { document } = await space.json('backup', job);
    expect(document.status).toBe('ok');
    const verified = await space.run('verify', job, '--level', 'restore');
    expect(verified, verified.stdout).toMatchObject({ code: 0 });
    const target = space.path(`${job}.db`);
    expect((await space.run('restore', job, '--to-path', target)).code).toBe(0);
    const restored = new Database(target, { readonly: true });
    for (const [i, name] of NAMES.entries()) {
      const count = restored
        .prepare(`SELECT count(*) FROM "${name.replaceAll('"', '""')}"`)
        .pluck()
        .get();
      expect(count, name).toBe(i + 1);
    }
    restored.close();
    const part = space.path(`${job}-part.db`);
    expect((await space.run('restore', job, '--to-path', part, '--only', '表')).code).toBe(0);
    const only = new Database(part, { readonly: true });
    expect(only.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all()).toEqual(['表']);
    only.close();
  },
);
