import { constants, openSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { errnoOf } from './errors.ts';

/** Of a room for bytes that go to the disk past the page cache in one write. */
export const ROOM_BYTES = 2 * 1024 * 1024;
/** A multiple of what open(2) asks of the offsets, lengths and addresses of such writes: sectors, pages, on some systems 64 KiB. */
export const DIRECT_BYTES = 64 * 1024;

const freeRooms: Buffer[] = [];

/** Memory that begins at a multiple of 64 KiB, as only WebAssembly's is sure to. Used again after `giveBackRoom`. */
export function takeRoom(): Buffer {
  const pages = ROOM_BYTES / DIRECT_BYTES;
  return freeRooms.pop() ?? Buffer.from(new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer);
}

export function giveBackRoom(room: Buffer): void {
  freeRooms.push(room);
}

/**
 * The same file once more, for writes past the page cache; undefined where that cannot be had (other systems,
 * tmpfs, many FUSE ones): what is wrong beyond that, the file's own handle will tell.
 */
export async function openDirect(file: string): Promise<FileHandle | undefined> {
  const { O_DIRECT, O_NOFOLLOW, O_WRONLY } = constants;
  if (O_DIRECT === undefined) return undefined;
  return open(file, O_WRONLY | O_NOFOLLOW | O_DIRECT).catch(() => undefined);
}

/** What write(2) answers where a file system or disk wants direct writes otherwise, or not at all. */
export function refusesDirect(error: unknown): boolean {
  return ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '');
}

/** As `openDirect`. */
export function openDirectSync(file: string | Buffer): number | undefined {
  const { O_DIRECT, O_NOFOLLOW, O_WRONLY } = constants;
  if (O_DIRECT === undefined) return undefined;
  try {
    return openSync(file, O_WRONLY | O_NOFOLLOW | O_DIRECT);
  } catch {
    return undefined;
  }
}
