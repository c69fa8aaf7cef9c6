import type { RetentionPolicy } from '../config/types/jobs.ts';
import { formatDuration } from './duration.ts';
import { inRotation, isAhead, newestFirst, newestOf } from './retention-order.ts';
import type { PolicyBackup, RetentionDecision } from './retention-types.ts';

/** A source that was backed up so recently may well be backed up again: monthly schedules are covered. */
const OTHER_SOURCE_MS = 35 * 86_400_000;
/** A host whose name changes with every run must not keep them all. */
const MAX_OTHER_SOURCES = 3;

/**
 * What stays whatever the policy says, on top of its decisions: the newest good backup, that of other sources which may
 * still write under the same name, pinned ones, and all that anything that stays refers to, however far. With keep_within also the youngest good backup older
 * than the span (a rule's hold only), or the span's beginning could not be restored.
 */
export function applyFloors(
  policy: RetentionPolicy,
  backups: readonly PolicyBackup[],
  decisions: readonly RetentionDecision[],
  now: Date,
): RetentionDecision[] {
  const byId = new Map(decisions.map((decision) => [decision.id, decision]));
  const keep = (id: string, hold: NonNullable<RetentionDecision['hold']>, reason: string) => {
    const before = byId.get(id);
    if (before === undefined) return;
    const reasons = before.keep ? [...before.reasons, reason] : [reason];
    byId.set(id, { id, keep: true, reasons, hold: stronger(before.hold, hold) });
  };

  const sorted = newestFirst(backups);
  const newest = newestGood(backups, now);
  if (newest) keep(newest.id, 'floor', 'the newest good backup');
  for (const { id, source } of newestOfOthers(sorted, newest, now))
    keep(id, 'floor', `the newest good backup of another source, ${source}, which may still write here`);
  for (const { id, pinned } of sorted) if (pinned) keep(id, 'floor', 'pinned');

  const span = policy.keep_within_ms;
  const from = newestOf(sorted.filter((backup) => inRotation(backup, now)));
  if (span !== undefined && from !== undefined) {
    const begin = from.createdAt.getTime() - span;
    const cover = sorted.find(
      (backup) => backup.good && inRotation(backup, now) && backup.createdAt.getTime() <= begin,
    );
    if (cover) keep(cover.id, 'rule', `keep_within: covers the beginning of the ${formatDuration(span)}`);
  }

  for (const [id, { first, count }] of neededBy(sorted, (id) => byId.get(id)?.keep === true)) {
    keep(id, 'need', `needed by ${first}${count > 1 ? ` and ${count - 1} more` : ''}`);
  }
  return sorted.flatMap(({ id }) => byId.get(id) ?? []);
}

/**
 * The newest good backup that is not dated ahead: of the rotation if it has one, else a snapshot, and a
 * safety snapshot only where there is nothing else.
 */
export function newestGood(backups: readonly PolicyBackup[], now: Date): PolicyBackup | undefined {
  const good = newestFirst(backups).filter((backup) => backup.good && !isAhead(backup, now));
  return (
    good.find(({ type }) => type !== 'snapshot') ??
    good.find(({ tags }) => !tags.includes('safety')) ??
    good[0]
  );
}

/**
 * Of the sources other than that of `newest` the newest good backup each, where it is young. Of two that write under one
 * name without knowing of each other neither may remove the other's last one, and so the traces that there are two.
 */
function newestOfOthers(
  sorted: readonly PolicyBackup[],
  newest: PolicyBackup | undefined,
  now: Date,
): PolicyBackup[] {
  const found = new Map<string, PolicyBackup>();
  if (newest?.source === undefined) return [];
  for (const backup of sorted) {
    const { source, good, createdAt } = backup;
    if (source === undefined || source === newest.source || found.has(source)) continue;
    if (!good || !inRotation(backup, now) || now.getTime() - createdAt.getTime() > OTHER_SOURCE_MS) continue;
    found.set(source, backup);
    if (found.size === MAX_OTHER_SOURCES) break;
  }
  return [...found.values()];
}

/**
 * Everything that what stays refers to, directly or through others: by how many, and the first of them.
 * The record of a failed run holds no data, and needs none.
 */
function neededBy(
  backups: readonly PolicyBackup[],
  stays: (id: string) => boolean,
): Map<string, { first: string; count: number }> {
  const byId = new Map(backups.map((backup) => [backup.id, backup]));
  const needed = new Map<string, { first: string; count: number }>();
  const open = backups.filter(({ id }) => stays(id));
  const reached = new Set(open);
  // The list grows while it is walked; what was reached once is not walked again, so a cycle ends.
  for (const backup of open) {
    if (backup.state === 'failed') continue;
    for (const id of new Set(backup.references)) {
      const ancestor = byId.get(id);
      if (ancestor === undefined || ancestor === backup) continue;
      const before = needed.get(id);
      needed.set(id, { first: before?.first ?? backup.id, count: (before?.count ?? 0) + 1 });
      if (reached.has(ancestor)) continue;
      reached.add(ancestor);
      open.push(ancestor);
    }
  }
  return needed;
}

function stronger(
  a: RetentionDecision['hold'],
  b: NonNullable<RetentionDecision['hold']>,
): NonNullable<RetentionDecision['hold']> {
  if (a === 'floor' || b === 'floor') return 'floor';
  return a === 'rule' || b === 'rule' ? 'rule' : 'need';
}
