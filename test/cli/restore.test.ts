import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { childEnv } from '../faults/fs-faults.mjs';
import { DGUARD, dguard } from './support.ts';

let root: string;
const at = (...parts: string[]) => join(root, ...parts);
const text = (...parts: string[]) => readFileSync(at(...parts), 'utf8');
const marked = (...parts: string[]) => readdirSync(at(...parts)).filter((name) => name.includes('.dguard-'));

function sql(name: string, statements: string): void {
  const database = new Driver(at(name));
  database.exec(statements);
  database.close();
}

function rows(name: string): unknown {
  const database = new Driver(at(name));
  try {
    return database.prepare('SELECT group_concat(v) FROM t').pluck().get();
  } finally {
    database.close();
  }
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'dguard-restore-'));
  mkdirSync(at('docs/sub'), { recursive: true });
  writeFileSync(at('docs/a.txt'), 'first');
  writeFileSync(at('docs/sub/b.txt'), 'first');
  writeFileSync(at('docs/keep.log'), 'first');
  mkdirSync(at('other'));
  writeFileSync(at('other/x'), 'mine');
  sql('app.db', "CREATE TABLE t (v); INSERT INTO t VALUES ('first')");
  const files = (path: string, more = '') => `{ type: files, source_path: ${at(path)}${more} }`;
  writeFileSync(
    at('backup.yaml'),
    `version: 1
datasources:
  docs: ${files('docs', ', exclude_patterns: ["*.log"]')}
  all: ${files('docs')}
  other: ${files('other')}
  app: { type: sqlite, file_path: ${at('app.db')} }
destinations:
  disk: { type: local, path: ${at('backups')} }
jobs:
  part: { datasources: [docs], destinations: [disk] }
  whole: { datasources: [all, app], destinations: [disk] }
`,
    { mode: 0o600 },
  );
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function ok(...args: string[]): Promise<string> {
  const outcome = await dguard(root, ...args);
  expect(outcome.stderr + outcome.stdout, args.join(' ')).not.toContain('error:');
  expect(outcome.code, args.join(' ') + outcome.stderr).toBe(0);
  return outcome.stdout;
}

function change(): void {
  writeFileSync(at('docs/a.txt'), 'second');
  writeFileSync(at('docs/new.txt'), 'second');
  writeFileSync(at('docs/keep.log'), 'second');
  sql('app.db', "UPDATE t SET v = 'second'");
}

describe('a restore in place', () => {
  it('says how to take it back, and is taken back so', async () => {
    await ok('backup', 'whole');
    change();
    expect((await dguard(root, 'restore', 'whole')).code).toBe(1);
    const said = await ok('restore', 'whole', '--overwrite');
    expect(text('docs/a.txt')).toBe('first');
    expect(existsSync(at('docs/new.txt'))).toBe(false);
    expect(rows('app.db')).toBe('first');
    const commands = [...said.matchAll(/take it back: dguard (.*)/g)].map((match) => match[1]!.split(' '));
    expect(commands).toHaveLength(2);
    for (const command of commands) await ok(...command);
    expect(text('docs/a.txt')).toBe('second');
    expect(text('docs/new.txt')).toBe('second');
    expect(rows('app.db')).toBe('second');
    await ok('restore', '--undo', 'whole');
    expect([text('docs/a.txt'), rows('app.db')]).toEqual(['first', 'first']);
    expect((await dguard(root, 'restore', '--drop-undo', 'whole')).code).toBe(2);
    expect(marked()).toHaveLength(2);
    await ok('restore', '--drop-undo', 'whole', '--yes');
    expect(marked()).toEqual([]);
    expect((await dguard(root, 'restore', '--undo', 'whole')).code).toBe(6);
  });

  it('is looked at by a dry run as it would be done, and nothing is made for it, not even for a moment', async () => {
    await ok('backup', 'whole');
    mkdirSync(at('place'));
    // Whatever is made in a folder, and whatever is removed there, changes its time.
    const before = statSync(at('place'), { bigint: true }).mtimeNs;
    const shown = await ok('restore', 'whole', '--to-path', at('place/new/deep'), '--dry-run');
    expect(shown).toContain(`name it ${at('place/new/deep/app.db')}`);
    expect(shown).toContain(`restore to ${at('place/new/deep/all')}`);
    expect(statSync(at('place'), { bigint: true }).mtimeNs).toBe(before);
    expect(readdirSync(at('place'))).toEqual([]);
    await ok('restore', 'whole', '--to-path', at('place/new/deep'));
    expect(text('place/new/deep/all/a.txt')).toBe('first');
    expect(rows('place/new/deep/app.db')).toBe('first');
  });

  it('of several datasources below a file, or under a name no folder can have, is refused alike by a dry run', async () => {
    await ok('backup', 'whole');
    for (const path of [at('app.db/below/it'), at('x'.repeat(300))]) {
      for (const more of [['--dry-run'], []]) {
        const { code, stderr } = await dguard(root, 'restore', 'whole', '--to-path', path, ...more);
        expect({ code, stderr }).toMatchObject({ code: 1 });
        expect(stderr).toContain('the folder cannot be made');
        expect(stderr).toContain('--to-path DIR');
        expect(stderr).not.toContain('report what it prints');
      }
    }
  });

  it('that fails takes away the folders that it made for several datasources', async () => {
    await ok('backup', 'whole');
    for (const name of readdirSync(at('backups/whole'))) {
      const [id] = readdirSync(at('backups/whole', name));
      writeFileSync(at('backups/whole', name, id!, 'index.zst'), 'rotten');
    }
    expect((await dguard(root, 'restore', 'whole', '--to-path', at('new/deep'))).code).not.toBe(0);
    expect(existsSync(at('new'))).toBe(false);
  });

  it('of a source with exclude patterns leaves every excluded file in place', async () => {
    await ok('backup', 'part');
    change();
    await ok('restore', 'part', '--overwrite');
    expect(readdirSync(at('docs')).sort()).toEqual(['a.txt', 'keep.log', 'new.txt', 'sub']);
    expect([text('docs/a.txt'), text('docs/keep.log')]).toEqual(['first', 'second']);
    const shown = await ok('restore', 'part', '--overwrite', '--delete-extra', '--dry-run');
    expect(shown).toContain(`remove, and keep for undo, ${at('docs/new.txt')}`);
    expect(shown).not.toContain('keep.log');
    expect((await dguard(root, 'restore', 'part', '--overwrite', '--delete-extra')).code).toBe(2);
    expect(existsSync(at('docs/new.txt'))).toBe(true);
    await ok('restore', 'part', '--overwrite', '--delete-extra', '--yes');
    expect(readdirSync(at('docs')).sort()).toEqual(['a.txt', 'keep.log', 'sub']);
    await ok('restore', '--undo', 'part', '--datasource', 'docs');
    expect(text('docs/new.txt')).toBe('second');
    expect(text('docs/keep.log')).toBe('second');
  });

  it('--to another datasource, of the same type alone', async () => {
    await ok('backup', 'whole');
    const wrong = await dguard(
      root,
      'restore',
      'whole',
      '--datasource',
      'app',
      '--to',
      'other',
      '--overwrite',
    );
    expect(wrong.code).toBe(2);
    await ok('restore', 'whole', '--datasource', 'all', '--to', 'other', '--overwrite');
    expect(text('other/a.txt')).toBe('first');
    expect(existsSync(at('other/x'))).toBe(false);
    await ok('restore', '--undo', 'whole', '--datasource', 'all', '--to', 'other');
    expect(readdirSync(at('other'))).toEqual(['x']);
  });

  it('never moves the destination that lies inside the source', async () => {
    writeFileSync(
      at('backup.yaml'),
      `version: 1
datasources: { all: { type: files, source_path: ${at('docs')} } }
destinations: { disk: { type: local, path: ${at('docs/sub/backups')} } }
jobs: { whole: { datasources: [all], destinations: [disk] } }
`,
    );
    await ok('backup', 'whole');
    change();
    await ok('restore', 'whole', '--overwrite', '--delete-extra', '--yes');
    expect(readdirSync(at('docs')).sort()).toEqual(['a.txt', 'keep.log', 'sub']);
    await ok('verify', 'whole', '--level', 'content');
  });
});

describe('rollback', () => {
  it('goes back to the good run before the newest, or to the one named', async () => {
    await ok('backup', 'whole');
    expect((await dguard(root, 'rollback', 'whole', '--yes')).code).toBe(6);
    change();
    await ok('backup', 'whole');
    writeFileSync(at('docs/a.txt'), 'third');
    expect((await dguard(root, 'rollback', 'whole')).code).toBe(2);
    expect(text('docs/a.txt')).toBe('third');
    await ok('rollback', 'whole', '--yes');
    expect([text('docs/a.txt'), rows('app.db')]).toEqual(['first', 'first']);
    const { backups } = JSON.parse(await ok('list', 'whole', '--datasource', 'all', '--json'));
    await ok('rollback', 'whole', backups[0].id, '--yes');
    expect([text('docs/a.txt'), rows('app.db')]).toEqual(['second', 'first']);
    await ok('restore', '--undo', 'whole', '--datasource', 'all');
    expect(text('docs/a.txt')).toBe('first');
    expect((await dguard(root, 'rollback', 'whole', 'full-nothing', '--yes')).code).toBe(2);
  });
});

describe('the program killed in a restore', () => {
  it('at calls all along it: the next command makes the target old or new', async () => {
    await ok('backup', 'whole');
    change();
    const counted = at('count');
    const run = (env: Record<string, string>) =>
      new Promise<number>((resolve) => {
        const child = execFile(
          process.execPath,
          [DGUARD, 'restore', 'whole', '--datasource', 'all', '--overwrite'],
          { cwd: root, env: { ...process.env, ...env } },
          () => {},
        );
        child.on('exit', (code, signal) => resolve(signal === null ? (code ?? 1) : 137));
      });
    expect(await run(childEnv('count', counted))).toBe(0);
    await ok('restore', '--undo', 'whole', '--datasource', 'all');
    await ok('restore', '--drop-undo', 'whole', '--yes');
    const total = Number(text('count'));
    expect(total).toBeGreaterThan(20);
    for (let call = 1; call <= total; call += Math.ceil(total / 8)) {
      expect(await run(childEnv('die', call))).toBe(137);
      await ok('restore', '--recover', 'whole', '--datasource', 'all');
      const isNew = text('docs/a.txt') === 'first';
      expect(readdirSync(at('docs')).sort()).toEqual(
        isNew ? ['a.txt', 'keep.log', 'sub'] : ['a.txt', 'keep.log', 'new.txt', 'sub'],
      );
      expect(text('docs/keep.log')).toBe(isNew ? 'first' : 'second');
      if (isNew) await ok('restore', '--undo', 'whole', '--datasource', 'all');
      await ok('restore', '--drop-undo', 'whole', '--yes');
      expect(marked()).toEqual([]);
    }
  });
});
