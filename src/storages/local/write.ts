import { close, type Stats, write as writeTo } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import {
  DIRECT_BYTES,
  giveBackRoom,
  openDirectAgain,
  ROOM_BYTES,
  refusesDirect,
  TAKES_NO_MORE,
  takeRoom,
} from '../../direct-io.ts';
import { DguardError } from '../../errors.ts';
import { copyShared } from '../../threads.ts';
import { attempt } from './errors.ts';

const WRITE_BYTES = 1024 * 1024;
/** After so many bytes the disk is set to work, so that the last sync finds little left to write. */
const SYNC_AHEAD_BYTES = 32 * 1024 * 1024;

/** A file that is being made. */
export interface NewFile {
  readonly handle: FileHandle;
  /** For messages. */
  readonly subject: string;
  /** Is told the file's size after each write, before it happens, and may throw. */
  readonly beforeWrite: (fileBytes: number) => void;
}

/** Writes, syncs and closes the file. The chunks' own error passes unchanged. */
export async function writeFile(file: NewFile, chunks: AsyncIterable<Uint8Array>): Promise<Stats> {
  const { handle, subject } = file;
  let open = true;
  try {
    const written = await writeChunks(file, chunks);
    await attempt('sync', subject, () => handle.sync());
    const facts = await attempt('look at', subject, () => handle.stat());
    if (facts.size !== written) {
      throw new DguardError(
        'storage_failed',
        `${subject}: ${written} bytes written, ${facts.size} are there`,
      );
    }
    open = false;
    await attempt('close', subject, () => handle.close()); // network file systems tell of a quota only here
    return facts;
  } finally {
    if (open) await handle.close().catch(() => undefined);
  }
}

/**
 * Writes all chunks to the file and returns their number of bytes, not yet synced. They are gathered, copied,
 * in two rooms: while one is written the other is filled. Full rooms go past the page cache where the system can:
 * that takes a fifth of the CPU time, and leaves in the cache what other programs have there.
 */
export async function writeChunks(file: NewFile, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  const writer = createWriter(file);
  let room = takeRoom();
  let spare = takeRoom();
  let filled = 0;
  try {
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.byteLength; ) {
        const part = chunk.subarray(at, at + room.length - filled);
        copyShared(room.subarray(filled), part);
        filled += part.byteLength;
        at += part.byteLength;
        if (filled < room.length) break;
        await writer.begin(room);
        [room, spare] = [spare, room];
        filled = 0;
      }
    }
    await writer.begin(room.subarray(0, filled));
  } finally {
    await writer.ended();
    giveBackRoom(room);
    giveBackRoom(spare);
  }
  return writer.total();
}

/** Writes one piece after the other to the file, beside the caller. */
function createWriter({ handle, subject, beforeWrite }: NewFile) {
  const ahead = syncAhead(handle, subject);
  /** Undefined: not asked for yet. */
  let direct: number | 'refused' | undefined;
  let written = 0;
  let running: Promise<void> = Promise.resolve();
  let failure: unknown;

  async function write(bytes: Buffer, position: number): Promise<void> {
    const done = await writeDirect(bytes, position);
    if (done === bytes.length) return;
    await writeAll(handle, bytes.subarray(done), position + done);
    ahead.wrote(bytes.length - done);
  }

  /** How many of the first bytes went past the cache; the rest (an odd end, what a full disk does not take) cannot. */
  async function writeDirect(bytes: Buffer, position: number): Promise<number> {
    if (bytes.length === ROOM_BYTES) direct ??= openDirectAgain(handle.fd) ?? 'refused';
    const length = bytes.length - (bytes.length % DIRECT_BYTES);
    if (direct === undefined || direct === 'refused' || length === 0) return 0;
    try {
      return await writeOnce(direct, bytes.subarray(0, length), position);
    } catch (error) {
      if (!refusesDirect(error)) throw error;
      const refused = direct;
      direct = 'refused'; // first: closed twice, its number may be somebody else's file
      await closed(refused);
      return 0;
    }
  }

  function assertSound(): void {
    if (failure !== undefined) throw failure;
  }

  return {
    /** Begins to write, once what was begun before is written. The bytes stay untouched until the next call's end. */
    async begin(bytes: Buffer): Promise<void> {
      await running;
      assertSound();
      const position = written;
      written += bytes.length;
      beforeWrite(written);
      running = attempt('write', subject, () => write(bytes, position)).catch((error: unknown) => {
        failure ??= error;
      });
    },
    /** Waits until nothing uses the file any more. */
    async ended(): Promise<void> {
      await running;
      await ahead.ended();
      if (direct === undefined || direct === 'refused') return;
      const opened = direct;
      // Network file systems tell of a quota only here.
      await attempt('close', subject, () => closed(opened)).catch((error: unknown) => {
        failure ??= error;
      });
    },
    /** The bytes of the file. Throws what failed. */
    total(): number {
      assertSound();
      ahead.assertSound();
      return written;
    },
  };
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
    const length = Math.min(WRITE_BYTES, bytes.byteLength - done);
    const { bytesWritten } = await handle.write(bytes, done, length, position + done);
    if (bytesWritten === 0) throw new Error(TAKES_NO_MORE);
    done += bytesWritten;
  }
}

/** How many of the first bytes one write took. */
async function writeOnce(fd: number, bytes: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writeTo(fd, bytes, 0, bytes.length, position, (error, count) => (error ? reject(error) : resolve(count)));
  });
}

async function closed(fd: number): Promise<void> {
  return new Promise((resolve, reject) => close(fd, (error) => (error ? reject(error) : resolve())));
}
