/** Memory that threads share, used again: fresh memory costs more time than what is done in it. */
export interface SharedRooms {
  /** Room for so many bytes, not cleared. What is never given back is garbage. */
  take(bytes: number): Buffer;
  /** Takes a room back, or a piece of one. Memory of others is left alone. */
  giveBack(room: Uint8Array): void;
}

/** Blocks have 1 MiB on average: few sizes, so that most rooms fit most blocks. */
const STEP_BYTES = 1024 * 1024 + 64 * 1024;
/** Kept at the most; more is garbage. */
const MAX_FREE_BYTES = 32 * 1024 * 1024;

export function createSharedRooms(): SharedRooms {
  const ours = new WeakSet<ArrayBufferLike>();
  /** Smallest first. */
  const free: SharedArrayBuffer[] = [];
  let freeBytes = 0;

  return {
    take(bytes) {
      const at = free.findIndex(({ byteLength }) => byteLength >= bytes);
      const memory =
        at >= 0
          ? free.splice(at, 1)[0]!
          : new SharedArrayBuffer(Math.max(1, Math.ceil(bytes / STEP_BYTES)) * STEP_BYTES);
      if (at >= 0) freeBytes -= memory.byteLength;
      else ours.add(memory);
      return Buffer.from(memory, 0, bytes);
    },
    giveBack({ buffer: memory }) {
      if (!(memory instanceof SharedArrayBuffer) || !ours.has(memory) || free.includes(memory)) return;
      if (freeBytes + memory.byteLength > MAX_FREE_BYTES) return;
      const at = free.findIndex(({ byteLength }) => byteLength > memory.byteLength);
      free.splice(at < 0 ? free.length : at, 0, memory);
      freeBytes += memory.byteLength;
    },
  };
}
