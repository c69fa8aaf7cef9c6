import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readObject } from '../../src/storages/read.ts';
import { chunked, collect } from './support.ts';
import { base, keys, MIB, open, root, text } from './support-local.ts';

const MOUNTS = process.getuid?.() === 0 && canMount();

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
