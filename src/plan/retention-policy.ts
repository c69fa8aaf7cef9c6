import type { RetentionPolicy } from '../config/types/jobs.ts';
import { formatDuration } from './duration.ts';
import { type Period, periodsOf } from './retention-calendar.ts';
import { inRotation, isAhead, newestFirst, newestOf } from './retention-order.ts';
import type { PolicyBackup, RetentionDecision } from './retention-types.ts';

/** The record of a failed run stays this long, and at least so many of them stay. */
const FAILED_KEPT_MS = 90 * 86_400_000;
const FAILED_KEPT_COUNT = 20;

type CountRule = Exclude<keyof RetentionPolicy & `keep_${string}`, 'keep_within_ms'>;

/** The rules that count periods; keep_last counts backups. */
const COUNT_RULES: readonly (readonly [CountRule, Period | undefined])[] = [
  ['keep_last', undefined],
  ['keep_hourly', 'hour'],
  ['keep_daily', 'day'],
  ['keep_weekly', 'week'],
  ['keep_monthly', 'month'],
  ['keep_yearly', 'year'],
];

/**
 * What the keep rules say of each backup of a group, newest first: any rule keeps.
 *
 * A counting rule keeps the newest backup of each of the newest N periods that have one; periods without a
 * backup use up nothing, and while fewer than N have one, the oldest backup is kept too. keep_within keeps
 * what is younger than the span before the newest good backup. That is restic's choice, wherever all
 * backups are good and none is pinned or ahead of now.
 *
 * A partial backup stands for its period only where no good one does. Suspect, broken, damaged and refuted
 * ones count for nothing and stay; so do backups dated ahead. Snapshots go when they expire, records of
 * failed runs after 90 days, except the newest 20. No rule, or only zeros, keeps the whole rotation.
 */
export function applyPolicy(
  policy: RetentionPolicy,
  backups: readonly PolicyBackup[],
  now: Date,
  timeZone: string,
): RetentionDecision[] {
  const sorted = newestFirst(backups);
  const rotation = sorted.filter((backup) => inRotation(backup, now));
  const chosen = chooseByRules(policy, rotation, timeZone);
  const failed = sorted.filter((backup) => backup.state === 'failed' && !isAhead(backup, now));
  const rank = new Map(failed.map(({ id }, at) => [id, at]));
  return sorted.map((backup) => {
    if (!inRotation(backup, now)) return outsideRotation(backup, now, rank.get(backup.id) ?? 0);
    const reasons = chosen.get(backup.id);
    return reasons ? kept(backup, 'rule', reasons) : removed(backup, 'no keep rule chose it');
  });
}

/** The reasons of all that some rule keeps. */
function chooseByRules(
  policy: RetentionPolicy,
  rotation: readonly PolicyBackup[],
  timeZone: string,
): Map<string, string[]> {
  const chosen = new Map<string, string[]>();
  const choose = ({ id }: PolicyBackup, reason: string) =>
    chosen.set(id, [...(chosen.get(id) ?? []), reason]);
  const counts = COUNT_RULES.filter(([rule]) => (policy[rule] ?? 0) > 0);
  if (counts.length === 0 && policy.keep_within_ms === undefined) {
    for (const backup of rotation) choose(backup, 'the policy has no keep rule');
    return chosen;
  }
  const names = new Map(rotation.map((backup) => [backup.id, periodsOf(backup.createdAt, timeZone)]));
  for (const [rule, period] of counts) {
    const nameOf = period && ((backup: PolicyBackup) => names.get(backup.id)![period]);
    chooseByCount(rule, policy[rule] ?? 0, nameOf, rotation, choose);
  }
  const newest = newestOf(rotation);
  if (policy.keep_within_ms !== undefined && newest !== undefined) {
    const after = newest.createdAt.getTime() - policy.keep_within_ms;
    const reason = `keep_within: less than ${formatDuration(policy.keep_within_ms)} before the newest`;
    for (const backup of rotation) if (backup.createdAt.getTime() > after) choose(backup, reason);
  }
  return chosen;
}

function chooseByCount(
  rule: CountRule,
  count: number,
  nameOf: ((backup: PolicyBackup) => string) | undefined,
  rotation: readonly PolicyBackup[],
  choose: (backup: PolicyBackup, reason: string) => void,
): void {
  // Insertion keeps the order of periods, newest first, also where a good one takes a partial one's place.
  const standing = new Map<string, PolicyBackup>();
  for (const backup of rotation) {
    const key = nameOf?.(backup) ?? backup.id;
    const held = standing.get(key);
    if (held === undefined || (backup.good && !held.good)) standing.set(key, backup);
  }
  let used = 0;
  for (const [key, backup] of standing) {
    if (used === count) return;
    used++;
    choose(backup, `${rule} ${used} of ${count}${nameOf ? `: newest of ${key}` : ''}`);
  }
  const oldest = rotation.findLast(({ good }) => good) ?? rotation.at(-1);
  if (used < count && oldest !== undefined && ![...standing.values()].includes(oldest)) {
    choose(oldest, `${rule}: the oldest, while only ${used} of ${count} are there`);
  }
}

function outsideRotation(backup: PolicyBackup, now: Date, failedRank: number): RetentionDecision {
  if (isAhead(backup, now)) {
    return kept(backup, 'floor', [`dated ahead of now (${backup.createdAt.toISOString()})`]);
  }
  if (backup.state === 'failed') {
    if (failedRank < FAILED_KEPT_COUNT)
      return kept(backup, 'floor', [`failed run, one of the newest ${FAILED_KEPT_COUNT}`]);
    if (now.getTime() - backup.createdAt.getTime() < FAILED_KEPT_MS)
      return kept(backup, 'floor', ['failed run of the last 90 days']);
    return removed(backup, 'failed run, older than 90 days');
  }
  if (!backup.good && backup.state !== 'partial') {
    const state = backup.state === 'completed' ? 'not good' : backup.state;
    return kept(backup, 'floor', [`${state}: counts for nothing, and only \`delete\` removes it`]);
  }
  const { expires } = backup;
  if (expires === undefined) return kept(backup, 'floor', ['snapshot or selection, which does not expire']);
  const day = expires.toISOString();
  if (expires > now) return kept(backup, 'floor', [`snapshot until ${day}`]);
  return removed(backup, `snapshot that expired ${day}`);
}

function kept({ id }: PolicyBackup, hold: 'rule' | 'floor', reasons: readonly string[]): RetentionDecision {
  return { id, keep: true, reasons, hold };
}

function removed({ id }: PolicyBackup, reason: string): RetentionDecision {
  return { id, keep: false, reasons: [reason] };
}
