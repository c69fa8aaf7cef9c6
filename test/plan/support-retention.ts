import type { RetentionPolicy } from '../../src/config/types/jobs.ts';
import { planRetention } from '../../src/plan/retention.ts';
import type { PolicyBackup } from '../../src/plan/retention-types.ts';

export const NOW = new Date('2026-11-21T12:00:00Z');

/** A good full of that moment, or what `facts` make of it. Its id is the moment unless given. */
export function backupAt(at: string | Date, facts: Partial<PolicyBackup> = {}): PolicyBackup {
  const createdAt = typeof at === 'string' ? new Date(at.length === 10 ? `${at}T03:00:00Z` : at) : at;
  const state = facts.state ?? 'completed';
  return {
    id: typeof at === 'string' ? at : createdAt.toISOString(),
    createdAt,
    state,
    type: 'full',
    good: state === 'completed',
    pinned: false,
    tags: [],
    references: [],
    sizeBytes: 1024 ** 3,
    ...facts,
  };
}

/** The whole plan: ids that stay and ids that go, newest first, all reasons by id, unmet caps. */
export function plan(
  policy: Omit<RetentionPolicy, 'auto_delete'>,
  backups: readonly PolicyBackup[],
  options: { now?: Date; timeZone?: string } = {},
) {
  const { decisions, unmet } = planRetention(
    { auto_delete: false, ...policy },
    backups,
    options.now ?? NOW,
    options.timeZone ?? 'UTC',
  );
  return {
    keep: decisions.filter(({ keep }) => keep).map(({ id }) => id),
    remove: decisions.filter(({ keep }) => !keep).map(({ id }) => id),
    reasons: Object.fromEntries(decisions.map(({ id, reasons }) => [id, reasons])),
    holds: Object.fromEntries(decisions.map(({ id, hold }) => [id, hold])),
    unmet,
  };
}
