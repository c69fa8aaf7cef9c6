import { createHash, hash } from 'node:crypto';
import { copyShared } from '../threads.ts';
import type { Codec, HashedFrame } from './codecs/types.ts';
import { createCutter } from './cut.ts';
import { type ChunkerParameters, MAX_BLOCK_BYTES } from './format.ts';
import { createRing } from './ring.ts';

/** Which block of which artifact of which backup. */
export interface BlockRef {
  readonly origin: string;
  readonly artifact: number;
  readonly block: number;
}

/** A block line of the index: where in its artifact a stored block lies, and its name. */
export interface BlockLine {
  readonly offset: number;
  readonly stored: number;
  readonly length: number;
  readonly name: string;
}

/** Encryption's place, between codec and storage; the identity where a backup is not encrypted. */
export type Seal = (frame: Uint8Array) => Uint8Array;

export interface ArtifactSink {
  readonly artifact: number;
  /** `released` is called, if ever, once the bytes' memory may be used again. */
  readonly write: (bytes: Uint8Array, released: () => void) => Promise<void>;
  /** In stream order, as soon as a block is cut: `start` is its position in the member's stream. */
  readonly onBlock: (ref: BlockRef, start: number, length: number) => void;
  /** In artifact order, once a new block was handed to `write`. */
  readonly onStored: (line: BlockLine, number: number) => void;
}

export interface ArtifactTotals {
  readonly size: number;
  readonly blocks: number;
  readonly storedSize: number;
  /** SHA-256 over the names of the blocks that this artifact stores, in order. */
  readonly digest: string;
}

/** Bounds memory. Some twelve blocks of the common size: quick ones wait for slow ones before them. */
const BYTES_IN_FLIGHT = 12 * 1024 * 1024;
/** However large: fewer would leave cores idle. */
const MIN_BLOCKS_IN_FLIGHT = 3;

/**
 * The pipeline of one backup's blocks: cut, name, ask whether the block is known, compress several at a
 * time, seal, append in order. One artifact at a time.
 */
export function createBlockPipeline(options: {
  readonly origin: string;
  readonly codec: Codec;
  readonly seal: Seal;
  readonly chunker: ChunkerParameters;
  /** "Is this block known?": where the chain holds it, or undefined. Absent where none can be. */
  readonly known?: (name: string, length: number) => BlockRef | undefined;
}) {
  const { codec, known: find } = options;
  const blocks = createRing(BYTES_IN_FLIGHT + 2 * MAX_BLOCK_BYTES);
  const frames = createRing(BYTES_IN_FLIGHT + 2 * MAX_BLOCK_BYTES);
  const cutter = createCutter(options.chunker, onBlock);
  let sink: ArtifactSink | undefined;
  let digest = createHash('sha256');
  let position = 0;
  let cutTo = 0;
  let count = 0;
  let offset = 0;
  let inFlight = 0;
  let bytesInFlight = 0;
  let failure: unknown;
  let tail: Promise<void> = Promise.resolve();
  let wake: (() => void) | undefined;

  function onBlock(view: Buffer): void {
    const target = sink!;
    const start = cutTo;
    const { length } = view;
    cutTo += length;
    // Where nothing is known the name can wait, and is made beside this thread.
    const name = find || !codec.compressHashed ? hash('sha256', view, 'hex') : undefined;
    const known = name === undefined ? undefined : find?.(name, length);
    if (known) {
      target.onBlock(known, start, length);
      return;
    }
    const number = count++;
    target.onBlock({ origin: options.origin, artifact: target.artifact, block: number }, start, length);
    let taken = false;
    const room = (bytes: number) => {
      taken = true;
      return frames.take(bytes);
    };
    const block = copyShared(blocks.take(length), view);
    const compressed: Promise<HashedFrame> =
      name === undefined
        ? codec.compressHashed!(block, room)
        : codec.compress(block, room).then((frame) => ({ frame, sha256: name }));
    compressed.catch(() => {});
    inFlight++;
    bytesInFlight += length;
    tail = tail
      .then(async () => {
        const { frame: bare, sha256 } = await compressed;
        const frame = options.seal(bare);
        if (failure !== undefined) return;
        digest.update(sha256, 'hex');
        await target.write(frame, () => {
          if (taken) frames.giveBack();
        });
        target.onStored({ offset, stored: frame.length, length, name: sha256 }, number);
        offset += frame.length;
      })
      .catch(fail)
      .then(() => {
        blocks.giveBack();
        inFlight--;
        bytesInFlight -= length;
        wake?.();
      });
  }

  function fail(error: unknown): void {
    failure ??= error;
  }

  const isFull = () => inFlight >= MIN_BLOCKS_IN_FLIGHT && bytesInFlight >= BYTES_IN_FLIGHT;

  async function settle(until: () => boolean): Promise<void> {
    while (!until()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (failure !== undefined) throw failure;
  }

  return {
    begin(target: ArtifactSink): void {
      sink = target;
      digest = createHash('sha256');
      position = cutTo = count = offset = 0;
    },
    /** Bytes of the member's stream so far. */
    get position() {
      return position;
    },
    space: () => cutter.space(),
    advance(bytes: number): void {
      position += bytes;
      cutter.advance(bytes);
    },
    write(bytes: Uint8Array): void {
      for (let at = 0; at < bytes.length; ) {
        const space = cutter.space();
        const chunk = bytes.subarray(at, at + space.length);
        copyShared(space, chunk);
        position += chunk.length;
        cutter.advance(chunk.length);
        at += chunk.length;
      }
    },
    cut: () => cutter.cut(),
    /** True when the caller must `await drain()` before it writes on: this bounds memory. */
    get full() {
      return isFull();
    },
    drain: () => settle(() => !isFull()),
    async end(): Promise<ArtifactTotals> {
      cutter.cut();
      await settle(() => inFlight === 0);
      await tail;
      if (failure !== undefined) throw failure;
      return { size: position, blocks: count, storedSize: offset, digest: digest.digest('hex') };
    },
    /** Waits until nothing is under way, whatever became of it: before an artifact is given up. */
    async quiesce(): Promise<void> {
      failure ??= new Error('given up');
      await tail;
    },
  };
}

export type BlockPipeline = ReturnType<typeof createBlockPipeline>;
