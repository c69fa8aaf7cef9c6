import { DguardError } from '../../errors.ts';

/**
 * Objects up to this size are written over the limit too: the marks and leases that a prune needs to make
 * room again, and the record of the run that found no room.
 */
const ALWAYS_ALLOWED_BYTES = 1024 * 1024;

/** A running count of stored bytes against a limit, so that no put has to list the whole storage. */
export interface Budget {
  /** Counts what is stored, once. */
  load(): Promise<void>;
  /** Takes room for a growing object: `added` more bytes, `total` in all. Throws `storage_full`. */
  take(added: number, total: number): void;
  giveBack(bytes: number): void;
}

/** `countStored` reads the whole listing; `subject` is for the message. */
export function storedBudget(
  limitBytes: number,
  countStored: () => Promise<number>,
  subject: string,
): Budget {
  let counting: Promise<void> | undefined;
  let stored = 0;

  async function count(): Promise<void> {
    stored += await countStored();
  }

  return {
    load() {
      counting ??= count().catch((error: unknown) => {
        counting = undefined;
        throw error;
      });
      return counting;
    },
    take(added, total) {
      if (added > 0 && total > ALWAYS_ALLOWED_BYTES && stored + added > limitBytes) {
        throw new DguardError('storage_full', `${subject} would hold more than its ${limitBytes} bytes`, {
          operation: 'put',
          subject,
          hint: 'raise max_size_gb, or let a retention policy make room (dguard prune --dry-run)',
        });
      }
      stored += added;
    },
    giveBack(bytes) {
      stored -= bytes;
    },
  };
}
