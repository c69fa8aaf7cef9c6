import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { publishByRename, reservationOf } from '../../src/storages/local/publish.ts';
import { type LocalOptions, localStorage } from '../../src/storages/local.ts';
import { readObject } from '../../src/storages/read.ts';
import { compileModule } from './compiled.ts';
import { chunked, collect, failing, listed, storageConformance } from './conformance.ts';

const MIB = 1024 * 1024;
const ROOT_USER = process.getuid?.() === 0;
const MOUNTS = ROOT_USER && canMount();

let base: string;
let root: string;
beforeEach(async () => {
  base = realpathSync(await mkdtemp(join(tmpdir(), 'dguard-local-')));
  root = join(base, 'store');
});
afterEach(() => rm(base, { recursive: true, force: true }));

const open = (options: Partial<LocalOptions> = {}) =>
  localStorage({ path: root, ...options }, { name: 'nas', warn: () => undefined });
const keys = async (storage = open(), prefix = '') => (await listed(storage, prefix)).map(({ key }) => key);
const text = (value: string) => chunked(Buffer.from(value));

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

describe('limits and mounts', () => {
  const mounted = async (size: string, work: (mount: string) => Promise<void>) => {
    const mount = join(base, 'mount');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', mount]);
    try {
      await work(mount);
    } finally {
      execFileSync('umount', ['-l', mount]);
    }
  };

  test.runIf(MOUNTS)(
    'a full disk: storage_full, nothing left, what was there intact [needs root and mount]',
    () =>
      mounted('4m', async (mount) => {
        const storage = open({ path: join(mount, 'store') });
        await storage.put('old/x', chunked(Buffer.alloc(MIB, 1)));
        await expect(storage.put('new/y', chunked(Buffer.alloc(8 * MIB, 2)))).rejects.toMatchObject({
          code: 'storage_full',
          hint: expect.any(String),
        });
        expect(readdirSync(mount, { recursive: true }).sort()).toEqual(['store', 'store/old', 'store/old/x']);
        expect(Buffer.alloc(MIB, 1).equals(await readObject(storage, 'old/x', 2 * MIB))).toBe(true);
        await storage.put('new/z', chunked(Buffer.alloc(2 * MIB, 3)));
        expect((await storage.space()).freeBytes).toBe(MIB);
      }),
  );

  test.runIf(MOUNTS)(
    'must_be_mounted: a real mount, before and after umount [needs root and mount]',
    async () => {
      let kept = open();
      await mounted('1m', async (mount) => {
        kept = open({ path: mount, must_be_mounted: true });
        await kept.put('x', text('x'));
        expect(await keys(kept)).toEqual(['x']);
        const below = open({ path: join(mount, 'sub'), must_be_mounted: mount });
        await expect(keys(below)).rejects.toMatchObject({
          code: 'storage_missing',
          hint: expect.stringContaining('mkdir'),
        });
        await below.put('y', text('y'));
        expect(await keys(below)).toEqual(['y']);
        const notItself = open({ path: join(mount, 'sub'), must_be_mounted: true });
        await expect(keys(notItself)).rejects.toMatchObject({ code: 'storage_missing' });
        const elsewhere = open({ path: root, must_be_mounted: mount });
        await expect(elsewhere.put('z', text('z'))).rejects.toMatchObject({ code: 'config_invalid' });
      });
      const missing = { code: 'storage_missing', message: expect.stringContaining('is not mounted') };
      await expect(kept.put('z', text('z'))).rejects.toMatchObject(missing);
      await expect(keys(kept)).rejects.toMatchObject(missing);
      await expect(collect(kept.get('x'))).rejects.toMatchObject(missing);
      await expect(kept.stat('x')).rejects.toMatchObject(missing);
      await expect(kept.space()).rejects.toMatchObject(missing);
      expect(readdirSync(join(base, 'mount'))).toEqual([]);
    },
  );

  test.runIf(MOUNTS)(
    'must_be_mounted takes a bind mount of the same file system [needs root and mount]',
    async () => {
      const [from, to] = [join(base, 'from'), join(base, 'to here')];
      mkdirSync(from);
      mkdirSync(to);
      await expect(keys(open({ path: to, must_be_mounted: true }))).rejects.toMatchObject({
        code: 'storage_missing',
      });
      execFileSync('mount', ['--bind', from, to]);
      try {
        await open({ path: to, must_be_mounted: true }).put('x', text('x'));
      } finally {
        execFileSync('umount', ['-l', to]);
      }
      expect(readdirSync(from)).toEqual(['x']);
    },
  );

  test('must_be_mounted on a missing path', async () => {
    const storage = open({ must_be_mounted: true });
    await expect(keys(storage)).rejects.toMatchObject({ code: 'storage_missing' });
    await expect(storage.put('x', text('x'))).rejects.toMatchObject({ code: 'storage_missing' });
    expect(existsSync(root)).toBe(false);
  });

  test('max_size_gb: space counts what is stored, a put over the limit is storage_full', async () => {
    await open().put('old', chunked(Buffer.alloc(2 * MIB)));
    const storage = open({ max_size_gb: 4 / 1024 });
    expect(await storage.space()).toEqual({ freeBytes: 2 * MIB, limitBytes: 4 * MIB });
    const full = { code: 'storage_full', hint: expect.stringContaining('max_size_gb') };
    await expect(storage.put('new', chunked(Buffer.alloc(3 * MIB)))).rejects.toMatchObject(full);
    await storage.put('fits', chunked(Buffer.alloc(2 * MIB)));
    await expect(storage.put('new', chunked(Buffer.alloc(1 + MIB)))).rejects.toMatchObject(full);
    await storage.put('mark', text('a prune must be able to say what it removes'));
    expect((await storage.space()).freeBytes).toBe(0);
    await storage.delete('old');
    await storage.put('new', chunked(Buffer.alloc(1 + MIB)));
    expect(await keys(storage)).toEqual(['fits', 'mark', 'new']);
  });

  test('max_size_gb: a put that has all its room is not failed by a mark that passes the limit meanwhile', async () => {
    const storage = open({ max_size_gb: 4 / 1024 });
    async function* body() {
      yield Buffer.alloc(4 * MIB);
      await storage.put('mark', text('a lease'));
    }
    await storage.put('fits', body());
    expect(await keys(storage)).toEqual(['fits', 'mark']);
  });

  test('max_size_gb holds for parallel puts together', async () => {
    const storage = open({ max_size_gb: 10 / 1024 });
    const puts = Array.from({ length: 6 }, (_, i) => storage.put(`p${i}`, chunked(Buffer.alloc(4 * MIB))));
    const done = (await Promise.allSettled(puts)).filter(({ status }) => status === 'fulfilled');
    expect(done.length).toBeLessThanOrEqual(2);
    expect(await keys(storage)).toHaveLength(done.length);
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

test('60,000 objects in 10,000 folders are listed in order, and quickly', async () => {
  for (let folder = 0; folder < 10_000; folder++) {
    const path = join(root, `job${folder % 10}`, `id-${folder}`);
    mkdirSync(path, { recursive: true });
    for (let file = 0; file < 6; file++) writeFileSync(join(path, `part.00${file}`), '');
  }
  const started = performance.now();
  const found = await keys();
  const elapsedMs = performance.now() - started;
  expect(found).toHaveLength(60_000);
  expect(found).toEqual([...found].sort());
  expect(elapsedMs).toBeLessThan(5000); // well below 1 s on an idle machine
});

/** Root in a container mostly may not. */
function canMount(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'dguard-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder]);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
