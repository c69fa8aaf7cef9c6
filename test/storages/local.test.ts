import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { publishByRename, reservationOf } from '../../src/storages/local/publish.ts';
import { localStorage } from '../../src/storages/local.ts';
import { compileModule } from './compiled.ts';
import { collect, failing, listed, storageConformance } from './conformance.ts';
import { base, keys, MIB, open, root, text } from './support-local.ts';

const ROOT_USER = process.getuid?.() === 0;

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

describe('what is not an object is not listed, read, written or deleted', () => {
  const outside = () => join(base, 'outside');
  beforeEach(() => {
    mkdirSync(join(root, 'a'), { recursive: true });
    mkdirSync(outside());
    writeFileSync(join(outside(), 'secret'), 'secret');
  });

  test('foreign names and unfinished files', async () => {
    const foreign = ['a/with space', 'a/ümlaut', 'a/.dguard-tmp-00ff', 'a/new\nline', 'lost+found'];
    for (const name of foreign) writeFileSync(join(root, name), 'x');
    mkdirSync(join(root, 'bad dir'));
    writeFileSync(join(root, 'bad dir/x'), 'x');
    await open().put('a/x', text('x'));
    expect(await keys()).toEqual(['a/x']);
    await open().delete('a/x');
    for (const name of [...foreign, 'bad dir/x']) expect(readFileSync(join(root, name), 'utf8')).toBe('x');
  });

  test('a link to a file', async () => {
    symlinkSync(join(outside(), 'secret'), join(root, 'a/link'));
    symlinkSync(join(outside(), 'new'), join(root, 'a/dangling'));
    expect(await keys()).toEqual([]);
    for (const key of ['a/link', 'a/dangling']) {
      expect(await open().stat(key)).toBeUndefined();
      await expect(collect(open().get(key))).rejects.toMatchObject({ code: 'storage_not_found' });
      await expect(open().put(key, text('x'))).rejects.toMatchObject({ code: 'storage_exists' });
      await open().delete(key);
      expect(lstatSync(join(root, key)).isSymbolicLink()).toBe(true);
    }
    expect(readdirSync(outside())).toEqual(['secret']);
  });

  test('a link to a folder, also one put in the place of a folder in use', async () => {
    const storage = open();
    await storage.put('used/x', text('x'));
    renameSync(join(root, 'used'), join(base, 'moved'));
    symlinkSync(outside(), join(root, 'used'));
    symlinkSync(outside(), join(root, 'dir'));
    for (const dir of ['used', 'dir']) {
      expect(await keys(storage)).toEqual([]);
      expect(await keys(storage, `${dir}/`)).toEqual([]);
      expect(await storage.stat(`${dir}/secret`)).toBeUndefined();
      await expect(collect(storage.get(`${dir}/secret`))).rejects.toMatchObject({
        code: 'storage_not_found',
      });
      await storage.delete(`${dir}/secret`);
      for (const key of [`${dir}/new`, `${dir}/sub/new`]) {
        await expect(storage.put(key, text('x'))).rejects.toMatchObject({ code: 'storage_failed' });
      }
    }
    expect(readdirSync(outside(), { recursive: true })).toEqual(['secret']);
  });

  test('is said once, where it leads to a folder: whoever moved one there sees no backup of it', async () => {
    const said: string[] = [];
    const storage = localStorage({ path: root }, { name: 'nas', warn: (message) => void said.push(message) });
    symlinkSync(join(outside(), 'secret'), join(root, 'a/file'));
    symlinkSync(join(outside(), 'nowhere'), join(root, 'a/dangling'));
    await keys(storage);
    expect(said).toEqual([]);
    symlinkSync(outside(), join(root, 'a/folder'));
    await keys(storage);
    await keys(storage);
    expect(said).toEqual([expect.stringMatching(/behind a link are not seen: a\/folder \(/)]);
  });

  test('a pipe does not hang a read', async () => {
    execFileSync('mkfifo', [join(root, 'a/pipe')]);
    expect(await keys()).toEqual([]);
    await expect(collect(open().get('a/pipe'))).rejects.toMatchObject({ code: 'storage_not_found' });
  });

  test('a file where a folder is needed', async () => {
    await open().put('file', text('x'));
    await expect(open().put('file/below', text('x'))).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining('where a folder is needed'),
    });
    expect(await keys()).toEqual(['file']);
  });
});

describe('the root', () => {
  test('missing, it lists nothing, and the first put makes it', async () => {
    const storage = open();
    expect(await keys(storage)).toEqual([]);
    expect(await storage.stat('x')).toBeUndefined();
    await storage.delete('x');
    expect((await storage.space()).freeBytes).toBeGreaterThan(0);
    expect(existsSync(root)).toBe(false);
    await storage.put('x', text('x'));
    expect(await keys(storage)).toEqual(['x']);
  });

  test('that vanishes after use is an error, not an empty list', async () => {
    const storage = open();
    await storage.put('x', text('x'));
    rmSync(root, { recursive: true });
    await expect(keys(storage)).rejects.toMatchObject({ code: 'storage_missing' });
  });

  test.each(['vanishes', 'is replaced by another'])(
    'that %s while it is listed is an error, not a shortened list',
    async (what) => {
      const storage = open();
      for (const key of ['a/1', 'b/2', 'c/3']) await storage.put(key, text('x'));
      const list = storage.list('')[Symbol.asyncIterator]();
      expect((await list.next()).value.key).toBe('a/1');
      renameSync(root, `${root}-gone`);
      if (what !== 'vanishes') mkdirSync(root);
      const rest = async () => {
        while (!(await list.next()).done);
      };
      await expect(rest()).rejects.toMatchObject({ code: 'storage_missing' });
    },
  );

  test('may be a link to a folder', async () => {
    mkdirSync(join(base, 'disk'));
    symlinkSync(join(base, 'disk'), root);
    await open().put('a/x', text('x'));
    expect(await keys()).toEqual(['a/x']);
    expect(readdirSync(join(base, 'disk'))).toEqual(['a']);
    await open().delete('a/x');
    expect(lstatSync(root).isSymbolicLink()).toBe(true);
  });

  test.runIf(existsSync('/proc/self'))(
    'where no folder can be made a put fails, and does not try for ever',
    async () => {
      const nowhere = open({ path: '/proc/self/dguard-test/store' });
      await expect(nowhere.put('k', text('x'))).rejects.toMatchObject({ code: 'storage_failed' });
      symlinkSync(join(base, 'unplugged'), join(base, 'disk'));
      const unplugged = open({ path: join(base, 'disk/store') });
      await expect(unplugged.put('k', text('x'))).rejects.toMatchObject({ code: 'storage_failed' });
      expect(readdirSync(base)).toEqual(['disk']);
    },
  );

  test('a link to nothing is a disk that is not there', async () => {
    symlinkSync(join(base, 'unplugged'), root);
    const missing = { code: 'storage_missing' };
    await expect(keys()).rejects.toMatchObject(missing);
    await expect(open().put('x', text('x'))).rejects.toMatchObject(missing);
    expect(existsSync(join(base, 'unplugged'))).toBe(false);
  });

  // Datasources of one run open a new destination side by side: some look while another makes it.
  test('a folder that is made while it is looked for is no link to nothing', async () => {
    for (let round = 0; round < 300; round++) {
      const looking = Array.from({ length: 12 }, () => listed(open(), ''));
      await mkdir(root);
      const found = await Promise.all(looking);
      expect(found).toEqual(looking.map(() => []));
      rmSync(root, { recursive: true });
    }
  });

  test('a file is refused by every call', async () => {
    writeFileSync(root, 'precious');
    const refused = { code: 'storage_failed', message: expect.stringContaining('is a file, not a folder') };
    await expect(keys()).rejects.toMatchObject(refused);
    await expect(open().put('x', text('x'))).rejects.toMatchObject(refused);
    await expect(open().stat('x')).rejects.toMatchObject(refused);
    await expect(open({ path: join(root, 'below') }).put('x', text('x'))).rejects.toMatchObject({
      code: 'storage_failed',
    });
    expect(readFileSync(root, 'utf8')).toBe('precious');
  });

  test.runIf(ROOT_USER)('an unreadable folder is an error, not an empty list [needs root]', async () => {
    await open().put('a/x', text('x'));
    await open().put('b/x', text('x'));
    chmodSync(join(root, 'a'), 0);
    for (const folder of [base, root, join(root, 'b')]) chmodSync(folder, 0o755);
    const compiled = await compileModule('storages/local.ts', join(base));
    const script = `
      import { localStorage } from ${JSON.stringify(compiled)};
      const storage = localStorage({ path: ${JSON.stringify(root)} }, { name: 'x', warn() {} });
      const found = [];
      try { for await (const { key } of storage.list('')) found.push(key); console.log('listed', found); }
      catch (error) { console.log(error.code, error.message); }`;
    execFileSync('chmod', ['-R', 'a+rX', ...readdirSync(base).filter((n) => n !== 'store')], { cwd: base });
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      uid: 65534,
      gid: 65534,
      encoding: 'utf8',
      cwd: '/',
    });
    expect(output).toMatch(/^storage_failed .*EACCES/);
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
