import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { type FileHandle, mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openDirectAgain } from '../../src/direct-io.ts';
import { writeChunks } from '../../src/storages/local/write.ts';

const MIB = 1024 * 1024;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dguard-write-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function* chunksOf(count: number, sizeBytes: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield Buffer.alloc(sizeBytes, i);
}

/** A file that cannot be opened once more for writing past the page cache, as on some file systems. */
function cached(handle: FileHandle, subject: string) {
  const { write, datasync } = handle;
  const through = { fd: -1, write: write.bind(handle), datasync: datasync.bind(handle) };
  return { handle: through as unknown as FileHandle, subject, beforeWrite: () => {} };
}

function canGoPast(handle: FileHandle): boolean {
  const direct = openDirectAgain(handle.fd);
  if (direct !== undefined) fs.closeSync(direct);
  return direct !== undefined;
}

/** While a call of Node's is another one, for those that imported it, too. */
async function instead<Name extends 'write' | 'close'>(
  name: Name,
  other: (typeof fs)[Name],
  work: () => Promise<void>,
): Promise<void> {
  const spy = vi.spyOn(fs, name).mockImplementation(other as never);
  syncBuiltinESMExports();
  try {
    await work();
  } finally {
    spy.mockRestore();
    syncBuiltinESMExports();
  }
}

describe('writeChunks', () => {
  it.each([0, 1, 65_535, 65_536, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 6 * MIB, 9 * MIB + 70_001])(
    'a file of %i bytes holds what came, from a producer that uses its one buffer again',
    async (length) => {
      const bytes = randomBytes(length);
      async function* again() {
        const buffer = Buffer.from(new SharedArrayBuffer(MIB));
        for (let at = 0, step = 1; at < length; at += step) {
          step = Math.min(1 + ((at * 7919) % 900_001), length - at);
          bytes.copy(buffer, 3, at, at + step);
          yield buffer.subarray(3, 3 + step);
          buffer.fill(0);
        }
      }
      const path = join(folder, 'file');
      const handle = await open(path, 'wx');
      const seen: number[] = [];
      const beforeWrite = (size: number) => void seen.push(size);
      expect(await writeChunks({ handle, subject: 'file', beforeWrite }, again())).toBe(length);
      await handle.close();
      expect((await readFile(path)).equals(bytes)).toBe(true);
      expect(seen.at(-1)).toBe(length);
    },
  );

  it('goes past the page cache for all but an odd end', async (context) => {
    const path = join(folder, 'direct');
    const handle = await open(path, 'wx');
    if (!canGoPast(handle)) context.skip('no direct writes here');
    const write = handle.write.bind(handle);
    let cachedBytes = 0;
    handle.write = (async (...args: [Buffer, number, number, number]) => {
      cachedBytes += args[2];
      return write(...args);
    }) as typeof handle.write;
    const file = { handle, subject: 'direct', beforeWrite: () => {} };
    await writeChunks(file, chunksOf(11, MIB + 1));
    await handle.close();
    expect(cachedBytes).toBe(11);
  });

  it('a write that fails after the caller went on fails the file', async () => {
    const path = join(folder, 'failing');
    const handle = await open(path, 'wx');
    let count = 0;
    handle.write = async () => {
      throw Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' });
    };
    async function* counted() {
      for await (const chunk of chunksOf(100, MIB)) {
        count++;
        yield chunk;
      }
    }
    await expect(writeChunks(cached(handle, 'failing'), counted())).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining('write failing'),
    });
    expect(count).toBeLessThan(8);
    await handle.close();
  });

  it('syncs a large file beside the writing, one sync at a time', async () => {
    const handle = await open(join(folder, 'large'), 'wx');
    const datasync = handle.datasync.bind(handle);
    let running = 0;
    let syncs = 0;
    handle.datasync = async () => {
      expect(running++).toBe(0);
      syncs++;
      await datasync();
      running--;
    };
    const written = await writeChunks(cached(handle, 'large'), chunksOf(200, MIB / 2));
    await handle.close();
    expect(written).toBe(100 * MIB);
    expect((await stat(join(folder, 'large'))).size).toBe(100 * MIB);
    expect(syncs).toBeGreaterThan(0);
    expect(running).toBe(0);
  });

  it('a page lost in a sync beside the writing fails the file: the last sync may not hear of it', async () => {
    const handle = await open(join(folder, 'lost'), 'wx');
    const datasync = handle.datasync.bind(handle);
    let failures = 0;
    handle.datasync = async () => {
      await datasync();
      if (failures++ === 0) throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
    };
    await expect(writeChunks(cached(handle, 'lost'), chunksOf(100, MIB))).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining('sync lost'),
    });
    await handle.close();
  });

  it('a close that fails fails the file, of direct writes too: some file systems tell of a quota only there', async (context) => {
    const path = join(folder, 'quota');
    const handle = await open(path, 'wx');
    if (!canGoPast(handle)) context.skip('no direct writes here');
    const { close } = fs;
    const overQuota = Object.assign(new Error('EDQUOT: disk quota exceeded, close'), { code: 'EDQUOT' });
    const failing = ((fd: number, done: (error: Error) => void) =>
      close(fd, () => done(overQuota))) as typeof close;
    await instead('close', failing, async () => {
      const file = { handle, subject: 'quota', beforeWrite: () => {} };
      await expect(writeChunks(file, chunksOf(4, MIB))).rejects.toMatchObject({ code: 'storage_full' });
    });
    await handle.close();
  });

  it.each(['a short write', 'a refusal in the middle'])(
    '%s past the page cache: the rest goes through it',
    async (what) => {
      const path = join(folder, 'short');
      const handle = await open(path, 'wx');
      const bytes = randomBytes(9 * MIB + 70_001);
      const { write } = fs;
      let calls = 0;
      const odd = ((fd: number, data: Buffer, at: number, length: number, position: number, done: never) => {
        if (++calls % 2) write(fd, data, at, length, position, done);
        else if (what === 'a short write') write(fd, data, at, length / 2, position, done);
        else (done as (error: Error) => void)(Object.assign(new Error('EINVAL'), { code: 'EINVAL' }));
      }) as unknown as typeof write;
      await instead('write', odd, async () => {
        const file = { handle, subject: 'short', beforeWrite: () => {} };
        const chunks = (async function* () {
          for (let at = 0; at < bytes.length; at += 300_000) yield bytes.subarray(at, at + 300_000);
        })();
        expect(await writeChunks(file, chunks)).toBe(bytes.length);
      });
      if (canGoPast(handle)) expect(calls).toBeGreaterThan(1);
      await handle.close();
      expect((await readFile(path)).equals(bytes)).toBe(true);
    },
  );

  it('every byte goes to the file that was made, whatever lies at its path by then', async () => {
    const path = join(folder, 'file');
    const handle = await open(path, 'wx');
    await rename(path, join(folder, 'moved'));
    await writeFile(path, 'untouched');
    const file = { handle, subject: 'file', beforeWrite: () => {} };
    expect(await writeChunks(file, chunksOf(9, MIB))).toBe(9 * MIB);
    await handle.close();
    expect((await readFile(path, 'utf8')).slice(0, 20)).toBe('untouched');
    const made = await readFile(join(folder, 'moved'));
    expect(made.equals(Buffer.concat(Array.from({ length: 9 }, (_, i) => Buffer.alloc(MIB, i))))).toBe(true);
  });
});
