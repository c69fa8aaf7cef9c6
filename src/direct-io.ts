import { constants, openSync, statfsSync } from 'node:fs';
import { errnoOf } from './errors.ts';
import { wasmMemory } from './wasm.ts';

/** Of a room for bytes that go to the disk past the page cache in one write. */
export const ROOM_BYTES = 2 * 1024 * 1024;
/** A multiple of what open(2) asks of the offsets, lengths and addresses of such writes: sectors, pages, on some systems 64 KiB. */
export const DIRECT_BYTES = 64 * 1024;

/** Of a write that takes nothing: tried again it might take nothing for ever. */
export const TAKES_NO_MORE = 'the file system takes no more bytes and gives no reason';

const freeRooms: Buffer[] = [];

/** Memory that begins at a multiple of 64 KiB, as only WebAssembly's is sure to. Used again after `giveBackRoom`. */
export function takeRoom(): Buffer {
  return freeRooms.pop() ?? makeRoom();
}

function makeRoom(): Buffer {
  const memory = wasmMemory(ROOM_BYTES / DIRECT_BYTES);
  // Direct writes from elsewhere are refused.
  return memory ? Buffer.from(memory.buffer) : Buffer.allocUnsafeSlow(ROOM_BYTES);
}

export function giveBackRoom(room: Buffer): void {
  freeRooms.push(room);
}

/** What write(2) answers where a file system or disk wants direct writes otherwise, or not at all. */
export function refusesDirect(error: unknown): boolean {
  return ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(errnoOf(error) ?? '');
}

/** statfs(2)'s: mounts that may take only one write after the other, and one that compresses only what is cached. */
const FUSE = 0x65735546;
const BTRFS = 0x9123683e;

/**
 * The very file of a descriptor once more, whatever its path leads to by now, for writes past the page cache.
 * Undefined where that cannot be had (other systems, some file systems) or does harm: what is wrong beyond that, the
 * first descriptor will tell.
 */
export function openDirectAgain(fd: number): number | undefined {
  const { O_DIRECT, O_WRONLY } = constants;
  if (O_DIRECT === undefined) return undefined;
  const file = `/proc/self/fd/${fd}`;
  try {
    if ([FUSE, BTRFS].includes(statfsSync(file).type)) return undefined;
    return openSync(file, O_WRONLY | O_DIRECT);
  } catch {
    return undefined;
  }
}
