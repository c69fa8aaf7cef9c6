import type { PruneOutcome } from '../../core/prune/prune.ts';
import type { Context } from '../context.ts';
import { plainText, sizeText } from './text.ts';

/** One pruned group as people read it; `explain` lists every backup with its reasons. */
export function printPrune(
  context: Context,
  outcome: PruneOutcome,
  { explain, dryRun }: { explain: boolean; dryRun: boolean },
): void {
  const { destination, job, datasource, plan, removed, swept, freedBytes, warnings } = outcome;
  const where = `${job}/${datasource} at ${destination}`;
  const orphans = swept.filter((each) => each.outcome === 'swept').length;
  if (explain) {
    context.print(`${where}:`);
    for (const { id, keep, reasons } of plan) {
      context.print(plainText(`  ${keep ? 'keep  ' : 'remove'} ${id}: ${reasons.join('; ')}`));
    }
    for (const { folder, outcome: became, reason } of swept) {
      context.print(plainText(`  ${became === 'swept' ? 'sweep ' : 'leave '} ${folder}: ${reason}`));
    }
  }
  if (explain || removed.length + orphans > 0) {
    const left = orphans === 0 ? '' : `, ${orphans} leftovers swept`;
    const done = dryRun ? `would prune ${where}` : `pruned ${where}`;
    context.print(`  ${done}: ${removed.length} removed${left}, ${sizeText(freedBytes)} freed`);
  }
  for (const warning of warnings) context.warn(warning, where);
}

/** One pruned group in `--json`: `plan` says of every backup what becomes of it and why. */
export function pruneJson(outcome: PruneOutcome): object {
  const { plan, swept, freedBytes, ...rest } = outcome;
  return {
    ...rest,
    freed_bytes: freedBytes,
    plan: plan.map(({ id, keep, reasons }) => ({ id, keep, reasons })),
    swept: swept.map(({ folder, outcome: became, reason, bytes }) => ({
      folder,
      outcome: became,
      reason,
      bytes,
    })),
  };
}
