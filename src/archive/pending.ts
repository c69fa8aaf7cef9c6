import { DguardError } from '../errors.ts';
import type { BlockRef } from './blocks.ts';
import type { Slice } from './entry.ts';

/** An entry whose content was written, but whose line waits until its blocks are cut. */
export interface PendingEntry {
  /** Where its content begins and ends in the member's stream. */
  readonly start: number;
  end: number;
  readonly slices: OpenSlice[];
  /** True until all is known about it. */
  held: boolean;
  write: (slices: readonly Slice[]) => void;
}

/** The entries of one member that wait, in the order of the stream; their lines are written in that order. */
export function createPendingEntries() {
  const entries: PendingEntry[] = [];
  /** Those before are written. */
  let head = 0;
  let cutTo = 0;

  function flush(): void {
    while (head < entries.length) {
      const entry = entries[head]!;
      if (entry.held || entry.end > cutTo) break;
      entry.write(entry.slices);
      head++;
    }
    if (head > 1024 && head * 2 > entries.length) {
      entries.splice(0, head);
      head = 0;
    }
  }

  return {
    flush,
    push(entry: PendingEntry): void {
      entries.push(entry);
      flush();
    },
    /** A block was cut: `start` is its position in the member's stream. */
    onBlock(ref: BlockRef, start: number, length: number): void {
      cutTo = start + length;
      for (let i = head; i < entries.length; i++) {
        const entry = entries[i]!;
        if (entry.start >= cutTo) break;
        const from = Math.max(entry.start, start);
        const to = Math.min(entry.end, cutTo);
        if (from < to) addSlice(entry.slices, ref, from - start, to - from, length);
      }
      flush();
    },
    /** Nothing may wait any more. */
    end(): void {
      flush();
      if (head < entries.length) throw new DguardError('internal', 'an entry was left without its blocks');
    },
  };
}

export type PendingEntries = ReturnType<typeof createPendingEntries>;

/** A slice that may grow while its blocks are cut. */
interface OpenSlice extends Slice {
  length: number;
  /** Blocks that it runs over. */
  blocks: number;
  /** It ends with the end of its last block, so that it may run on into the next. */
  full: boolean;
}

function addSlice(
  slices: OpenSlice[],
  ref: BlockRef,
  offset: number,
  length: number,
  blockLength: number,
): void {
  const { origin, artifact, block } = ref;
  const full = offset + length === blockLength;
  const last = slices.length > 0 ? slices[slices.length - 1] : undefined;
  if (
    last?.full &&
    offset === 0 &&
    last.block + last.blocks === block &&
    last.artifact === artifact &&
    last.origin === origin
  ) {
    last.length += length;
    last.blocks += 1;
    last.full = full;
    return;
  }
  slices.push({ origin, artifact, block, offset, length, blocks: 1, full });
}
