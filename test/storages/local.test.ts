import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { publishByRename, reservationOf } from '../../src/storages/local/publish.ts';
import { localStorage } from '../../src/storages/local.ts';
import { compileModule } from './compiled.ts';
import { storageConformance } from './conformance.ts';
import { failing, listed } from './support.ts';
import { base, keys, MIB, open, root, text } from './support-local.ts';

storageConformance('local', async () => {
  const path = await mkdtemp(join(tmpdir(), 'dguard-conformance-'));
  return {
    storage: localStorage({ path }, { name: 'here', warn: () => undefined }),
    dispose: () => rm(path, { recursive: true, force: true }),
  };
});

describe('what a put leaves on disk', () => {
  test('files are 0600 and folders 0700, also under umask 000 (restic#4447)', async () => {
    const before = process.umask(0);
    try {
      await open({ path: join(root, 'not', 'yet') }).put('job/db/x', text('x'));
    } finally {
      process.umask(before);
    }
    const modes = ['', 'not', 'not/yet', 'not/yet/job', 'not/yet/job/db', 'not/yet/job/db/x'];
    expect(modes.map((name) => statSync(join(root, name)).mode & 0o7777)).toEqual([
      ...Array(5).fill(0o700),
      0o600,
    ]);
  });

  test('one file with one name', async () => {
    await open().put('a/x', text('x'));
    expect(readdirSync(join(root, 'a'))).toEqual(['x']);
    expect(lstatSync(join(root, 'a/x')).nlink).toBe(1);
  });

  test('a failed put takes its temporary file and its new folders away', async () => {
    await open().put('a/kept', text('x'));
    await expect(open().put('a/b/c/x', failing(3 * MIB, new Error('own')))).rejects.toThrow('own');
    await expect(open().put('a/kept', text('y'))).rejects.toMatchObject({ code: 'storage_exists' });
    expect(readdirSync(root, { recursive: true }).sort()).toEqual(['a', 'a/kept']);
  });

  test('an existing key is refused before its body is read', async () => {
    await open().put('x', text('x'));
    let read = false;
    const body = (async function* () {
      read = true;
      yield Buffer.from('y');
    })();
    await expect(open().put('x', body)).rejects.toMatchObject({ code: 'storage_exists' });
    expect(read).toBe(false);
  });

  test('delete removes emptied folders, never the root, never a folder with something in it', async () => {
    const storage = open();
    await storage.put('a/b/c/x', text('x'));
    await storage.put('a/y', text('y'));
    await storage.delete('a/b/c/x');
    expect(readdirSync(root, { recursive: true }).sort()).toEqual(['a', 'a/y']);
    await storage.delete('a/y');
    expect(readdirSync(root)).toEqual([]);
    mkdirSync(join(root, 'f'));
    writeFileSync(join(root, 'f/foreign file'), '');
    await storage.put('f/x', text('x'));
    await storage.delete('f/x');
    expect(readdirSync(join(root, 'f'))).toEqual(['foreign file']);
  });

  test('the time is the one of the file', async () => {
    await open().put('x', text('x'));
    utimesSync(join(root, 'x'), 1e9, 1e9);
    expect((await open().stat('x'))?.modifiedAt).toEqual(new Date(1e12));
    expect((await listed(open(), ''))[0]?.modifiedAt).toEqual(new Date(1e12));
  });
});

describe('interruption', () => {
  test('SIGKILL in the middle of a put leaves nothing listed, and the key free', async () => {
    await open().put('a/old', text('old'));
    const compiled = await compileModule('storages/local.ts', base);
    const script = `
      import { localStorage } from ${JSON.stringify(compiled)};
      const storage = localStorage({ path: ${JSON.stringify(root)} }, { name: 'x', warn() {} });
      async function* endless() {
        for (let i = 0; ; i++) {
          if (i === 8) process.stdout.write('writing');
          if (i > 8) await new Promise((resolve) => setTimeout(resolve, 5));
          yield Buffer.alloc(1024 * 1024, i);
        }
      }
      await storage.put('a/new/x', endless());`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    await Promise.race([once(child.stdout, 'data'), exited]);
    child.kill('SIGKILL');
    expect((await exited)[1]).toBe('SIGKILL');

    const leftover = readdirSync(join(root, 'a/new'));
    expect(leftover).toEqual([expect.stringMatching(/^\.dguard-tmp-/)]);
    expect(statSync(join(root, 'a/new', leftover[0] ?? '')).size).toBeGreaterThanOrEqual(7 * MIB);
    expect(await keys()).toEqual(['a/old']);
    expect(await open().stat('a/new/x')).toBeUndefined();
    await open().put('a/new/x', text('again'));
    expect(await keys()).toEqual(['a/new/x', 'a/old']);
  });
});

describe('file systems without hard links', () => {
  const temp = (name: string, value: string) => {
    const path = join(base, `.dguard-tmp-${name}`);
    writeFileSync(path, value);
    return path;
  };

  test('exactly one of many gets the name, with its bytes', async () => {
    const final = join(base, 'final');
    const temps = Array.from({ length: 10 }, (_, i) => temp(String(i), `body ${i}`));
    const outcomes = await Promise.allSettled(temps.map((path) => publishByRename(path, final)));
    const winner = outcomes.findIndex(({ status }) => status === 'fulfilled');
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(readFileSync(final, 'utf8')).toBe(`body ${winner}`);
    expect(readdirSync(base).filter((name) => name.includes('name-'))).toEqual([]);
  });

  test('an existing object is never replaced, and a reservation left by a crash is named', async () => {
    const final = join(base, 'final');
    writeFileSync(final, 'old');
    await expect(publishByRename(temp('1', 'new'), final)).rejects.toMatchObject({ code: 'storage_exists' });
    expect(readFileSync(final, 'utf8')).toBe('old');

    const free = join(base, 'free');
    writeFileSync(reservationOf(free), '');
    await expect(publishByRename(temp('2', 'new'), free)).rejects.toMatchObject({
      code: 'storage_exists',
      hint: expect.stringContaining(reservationOf(free)),
    });
    expect(existsSync(free)).toBe(false);
    expect(await keys(open({ path: base }))).toEqual(['final']);
  });
});

test('60,000 objects in 10,000 folders are listed in order', async () => {
  for (let folder = 0; folder < 10_000; folder++) {
    const path = join(root, `job${folder % 10}`, `id-${folder}`);
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < 6; file++) writeFileSync(join(path, `part.00${file}`), '');
  }
  const found = await keys();
  expect(found).toHaveLength(60_000);
  expect(found).toEqual([...found].sort());
});
