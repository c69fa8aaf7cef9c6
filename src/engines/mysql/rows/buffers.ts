/** Large buffers that are used again: left to the garbage collector, they pile up faster than it comes by. */
export interface BufferPool {
  /** A buffer of the pool's size, its content undefined. */
  take(): Buffer;
  /** Gives one back, or a part of one; of another size: ignored. */
  give(buffer: Buffer): void;
}

export function bufferPool(sizeBytes: number, maxCount: number): BufferPool {
  const free: ArrayBufferLike[] = [];
  return {
    take() {
      const memory = free.pop();
      return memory === undefined ? Buffer.from(new ArrayBuffer(sizeBytes)) : Buffer.from(memory);
    },
    give({ buffer }) {
      if (buffer.byteLength === sizeBytes && free.length < maxCount) free.push(buffer);
    },
  };
}
