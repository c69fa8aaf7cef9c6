import type { RetentionPolicy } from '../config/types/jobs.ts';
import { newestFirst } from './retention-order.ts';
import type { PolicyBackup, RetentionDecision, RetentionPlan } from './retention-types.ts';

const GIB = 1024 ** 3;

/**
 * The caps, last: while more stays than max_backups or max_total_gb allow, the oldest backup that only a
 * rule keeps and that nothing which stays refers to goes, and with it what was kept for its sake alone.
 * Everything that holds data counts (not the records of failed runs). Floors are never passed: a cap that
 * they leave unmet is named in `unmet`.
 */
export function applyCaps(
  policy: RetentionPolicy,
  backups: readonly PolicyBackup[],
  decisions: readonly RetentionDecision[],
): RetentionPlan {
  const byId = new Map(decisions.map((decision) => [decision.id, decision]));
  const isKept = (id: string) => byId.get(id)?.keep === true;
  const counted = newestFirst(backups).filter(({ id, state }) => state !== 'failed' && isKept(id));
  const data = new Map(counted.map((backup) => [backup.id, backup]));
  const needers = countNeeders(counted, data);

  let count = counted.length;
  let bytes = counted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const exceeded = () => [
    ...(policy.max_backups !== undefined && count > policy.max_backups
      ? [`max_backups ${policy.max_backups}`]
      : []),
    ...(policy.max_total_gb !== undefined && bytes > policy.max_total_gb * GIB
      ? [`max_total_gb ${policy.max_total_gb}`]
      : []),
  ];
  const remove = (backup: PolicyBackup, reason: string) => {
    byId.set(backup.id, { id: backup.id, keep: false, reasons: [reason] });
    count--;
    bytes -= backup.sizeBytes;
    for (const id of referred(backup, data)) {
      const left = (needers.get(id) ?? 0) - 1;
      needers.set(id, left);
      if (left === 0 && byId.get(id)?.hold === 'need')
        remove(data.get(id)!, `was needed by ${backup.id} only`);
    }
  };

  const oldestFirst = counted.toReversed();
  for (let caps = exceeded(); caps.length > 0; caps = exceeded()) {
    const victim = oldestFirst.find(({ id }) => byId.get(id)?.hold === 'rule' && !needers.get(id));
    if (victim === undefined) break;
    remove(victim, `over ${caps.join(' and ')}: the oldest that nothing needs`);
  }
  return {
    decisions: decisions.map(({ id }) => byId.get(id)!),
    unmet: exceeded().map((cap) => {
      const size = cap.startsWith('max_backups') ? `${count} backups` : `${(bytes / GIB).toFixed(2)} GiB`;
      return `${cap}: ${size} must stay (the newest good one, pinned ones, snapshots, those in doubt, and what they need)`;
    }),
  };
}

/** How many of those that stay refer to each of them. */
function countNeeders(counted: readonly PolicyBackup[], data: ReadonlyMap<string, PolicyBackup>) {
  const needers = new Map<string, number>();
  for (const backup of counted) {
    for (const id of referred(backup, data)) needers.set(id, (needers.get(id) ?? 0) + 1);
  }
  return needers;
}

function referred(backup: PolicyBackup, data: ReadonlyMap<string, PolicyBackup>): string[] {
  return [...new Set(backup.references)].filter((id) => id !== backup.id && data.has(id));
}
