/** Room for bytes that are given back in the order they were taken. */
export interface Ring {
  /** Room in shared memory; of its own where the ring is full. Not cleared. */
  take(length: number): Buffer;
  /** Gives back the room that was taken first and not yet given back. */
  giveBack(): void;
}

/** A ring of so many bytes. Its memory is touched only as far as it is used. */
export function createRing(bytes: number): Ring {
  const memory = Buffer.from(new SharedArrayBuffer(bytes));
  /** Ends of what is taken, oldest first; -1 for room outside of the ring. */
  const ends: number[] = [];
  let head = 0; // where the next room may begin
  let tail = 0; // where the oldest taken room begins, or `head` where nothing is taken
  let inRing = 0;

  /** Where `length` bytes fit in one piece, or -1. */
  function place(length: number): number {
    if (inRing === 0) return length <= bytes ? 0 : -1;
    if (head > tail) return head + length <= bytes ? head : length < tail ? 0 : -1;
    return head + length < tail ? head : -1;
  }

  return {
    take(length) {
      const start = place(length);
      if (start < 0) {
        ends.push(-1);
        return Buffer.from(new SharedArrayBuffer(length));
      }
      if (inRing === 0) tail = start;
      inRing++;
      head = start + length;
      ends.push(head);
      return memory.subarray(start, head);
    },
    giveBack() {
      const end = ends.shift();
      if (end === undefined || end < 0) return;
      inRing--;
      tail = end;
    },
  };
}

/** Rings that nobody uses, by their size. */
const idle = new Map<number, Ring>();

/**
 * A ring of so many bytes, one that was given back where there is one: a backup of thousands of tables is read through
 * as many of them, and V8 lets gigabytes of their memory gather before it collects any. `giveBack` only once all its
 * rooms are.
 */
export function borrowRing(bytes: number): { readonly ring: Ring; readonly giveBack: () => void } {
  const ring = idle.get(bytes) ?? createRing(bytes);
  idle.delete(bytes);
  return { ring, giveBack: () => void idle.set(bytes, ring) };
}
