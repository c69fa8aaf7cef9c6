import type { CodecName } from '../format.ts';

/** Turns one block into one self-contained frame and back. */
export interface Codec {
  readonly name: CodecName;
  /** Undefined where the codec has none. */
  readonly level: number | undefined;
  /** The result owns its bytes: it stays valid when `block`'s memory is used again. */
  compress(block: Uint8Array): Promise<Uint8Array>;
  /**
   * The block that `stored` holds. Hostile input: never allocates much more than `maxBytes`, throws (any
   * error) for what is not exactly one frame of at most `maxBytes`.
   */
  decompress(stored: Uint8Array, maxBytes: number): Promise<Uint8Array>;
}
