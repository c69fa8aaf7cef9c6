import type { FileHandle } from 'node:fs/promises';
import { attempt } from './errors.ts';

const BATCH_BYTES = 1024 * 1024;
/** After so many bytes the disk is set to work, so that the last sync finds little left to write. */
const SYNC_AHEAD_BYTES = 32 * 1024 * 1024;

/**
 * Writes all chunks to the file and returns their number of bytes. Small chunks are gathered to writes of
 * 1 MiB, copied: a producer may use its buffer again, and a thousand tiny buffers in one writev are slower.
 * `beforeWrite` is told the file's size after each write, before it happens, and may throw.
 */
export async function writeChunks(
  handle: FileHandle,
  chunks: AsyncIterable<Uint8Array>,
  subject: string,
  beforeWrite: (fileBytes: number) => void,
): Promise<number> {
  let batch: Buffer | undefined;
  let filled = 0;
  let written = 0;

  const ahead = syncAhead(handle, subject);

  const write = async (bytes: Uint8Array) => {
    beforeWrite(written + bytes.byteLength);
    await attempt('write', subject, () => writeAll(handle, bytes, written));
    written += bytes.byteLength;
    ahead.wrote(bytes.byteLength);
  };
  const flush = async () => {
    if (batch && filled > 0) await write(batch.subarray(0, filled));
    filled = 0;
  };

  try {
    for await (const chunk of chunks) {
      if (chunk.byteLength >= BATCH_BYTES / 2) {
        await flush();
        await write(chunk);
        continue;
      }
      if (filled + chunk.byteLength > BATCH_BYTES) await flush();
      batch ??= Buffer.allocUnsafeSlow(BATCH_BYTES);
      batch.set(chunk, filled);
      filled += chunk.byteLength;
    }
    await flush();
  } finally {
    await ahead.ended();
  }
  ahead.assertSound();
  return written;
}

/**
 * Syncs beside the writing, one sync at a time. A file system tells of a lost page once per open file, and
 * the last sync may not hear of it again: what failed here fails the whole.
 */
function syncAhead(handle: FileHandle, subject: string) {
  let unsynced = 0;
  let running: Promise<void> | undefined;
  let failure: unknown;

  return {
    wrote(bytes: number): void {
      unsynced += bytes;
      if (running !== undefined || unsynced < SYNC_AHEAD_BYTES) return;
      unsynced = 0;
      running = attempt('sync', subject, () => handle.datasync())
        .catch((error: unknown) => {
          failure ??= error;
        })
        .finally(() => {
          running = undefined;
        });
    },
    /** Waits until nothing uses the file any more. */
    ended: async (): Promise<void> => running,
    assertSound(): void {
      if (failure !== undefined) throw failure;
    },
  };
}

/** A write may be short (a signal, a nearly full disk): the rest is tried again and brings the reason. */
async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const length = Math.min(BATCH_BYTES, bytes.byteLength - done);
    const { bytesWritten } = await handle.write(bytes, done, length, position + done);
    if (bytesWritten === 0) throw new Error('the file system takes no more bytes and gives no reason');
    done += bytesWritten;
  }
}
