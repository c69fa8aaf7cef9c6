import type { RetentionPolicy } from '../config/types/jobs.ts';
import { applyCaps } from './retention-caps.ts';
import { applyFloors } from './retention-floors.ts';
import { applyPolicy } from './retention-policy.ts';

import type { PolicyBackup, RetentionPlan } from './retention-types.ts';
/**
 * The whole plan of one group: policy, then floors, then caps. Pure: the same input gives the same plan,
 * in whatever order the backups come, and a plan of what a plan keeps keeps all of it. `timeZone` is the
 * IANA name in which days, weeks and months begin.
 *
 * An empty policy removes no backup; what goes without any rule is an expired snapshot, and the record of
 * a failed run that is neither among the newest 20 nor younger than 90 days.
 */
export function planRetention(
  policy: RetentionPolicy,
  backups: readonly PolicyBackup[],
  now: Date,
  timeZone: string,
): RetentionPlan {
  const decided = applyPolicy(policy, backups, now, timeZone);
  return applyCaps(policy, backups, applyFloors(policy, backups, decided, now));
}
