import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

describe('writeChunks', () => {
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
    const written = await writeChunks(handle, chunksOf(200, MIB / 2), 'large', () => {});
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
    await expect(writeChunks(handle, chunksOf(100, MIB), 'lost', () => {})).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining('sync lost'),
    });
    await handle.close();
  });
});
