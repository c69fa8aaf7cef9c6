import type { Dump } from '../../engines/types.ts';
import { DguardError } from '../../errors.ts';
import type { Run } from './run.ts';
import type { Warnings } from './warnings.ts';

/** A backup is expected to need a tenth more than the last good one. */
const GROWTH = 1.1;
const MIB = 1024 * 1024;

/**
 * Free space against the expected size, before the first byte is read. With too little, what the policy
 * removes anyway is removed where the job says so; a destination that still has too little is dropped.
 */
export async function requireSpace(run: Run, dump: Dump, warnings: Warnings): Promise<void> {
  const { lastGood } = run.request.history;
  const expected = lastGood ? Math.ceil(lastGood.stored_size_bytes * GROWTH) : undefined;
  for (const target of run.fanout.alive()) {
    try {
      let { freeBytes } = await target.storage.space();
      if (freeBytes === undefined) continue;
      if (expected === undefined) {
        // Nobody knows how well a first backup compresses: no reason to refuse it.
        if (dump.expectedBytes !== undefined && dump.expectedBytes > freeBytes) {
          const message = `${target.name} has ${mib(freeBytes)} free, the source has ${mib(dump.expectedBytes)}`;
          warnings.add({ message, partial: false });
        }
        continue;
      }
      if (freeBytes < expected && (await run.request.makeRoom(target.name))) {
        freeBytes = (await target.storage.space()).freeBytes ?? freeBytes;
      }
      if (freeBytes >= expected) continue;
      throw new DguardError(
        'storage_full',
        `${mib(freeBytes)} are free, about ${mib(expected)} are needed (the last good backup took ${mib(lastGood!.stored_size_bytes)})`,
        {
          operation: 'look for free space',
          subject: target.name,
          hint: 'free space there; `dguard prune --dry-run` shows what the retention policy would remove',
        },
      );
    } catch (error) {
      run.fanout.drop(target, error);
    }
  }
  run.fanout.alive();
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
