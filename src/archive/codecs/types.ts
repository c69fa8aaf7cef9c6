import type { CodecName } from '../format.ts';

/** Turns one block into one self-contained frame and back. */
export interface Codec {
  readonly name: CodecName;
  /** Undefined where the codec has none. */
  readonly level: number | undefined;
  /**
   * The frame of a block. It stays valid when the block's memory is used again. It lies in the memory that `room`
   * gives, where that is passed and the codec asks for it: at most once, before this returns.
   */
  compress(block: Uint8Array, room?: (bytes: number) => Buffer): Promise<Uint8Array>;
  /** As `compress`, with SHA-256 (hex) of the block. There where both are made beside this thread. */
  compressHashed?(block: Uint8Array, room?: (bytes: number) => Buffer): Promise<HashedFrame>;
  /**
   * The block that `stored` holds. Hostile input: never allocates much more than `maxBytes`, throws (any
   * error) for what is not exactly one frame of at most `maxBytes`.
   */
  decompress(stored: Uint8Array, maxBytes: number): Promise<Uint8Array>;
  /**
   * As `decompress`, with SHA-256 (hex) of the block; its bytes only where they are wanted. There where both
   * are made beside this thread.
   */
  decompressHashed?(stored: Uint8Array, maxBytes: number, wanted: boolean): Promise<HashedBlock>;
  /** Much work is coming: what it needs (threads) may start meanwhile. */
  startAhead?(): void;
}

export interface HashedFrame {
  readonly frame: Uint8Array;
  /** Of the block. */
  readonly sha256: string;
}

export interface HashedBlock {
  readonly bytes: Uint8Array | undefined;
  readonly length: number;
  readonly sha256: string;
  /** Tells that nobody reads `bytes` any more: their memory is used again. Absent where they are the caller's own. */
  readonly release?: () => void;
}
