import type { DguardEvent, Stage } from '../../events.ts';
import { durationText, plainText, sizeText } from './text.ts';

/** What one subject (a datasource, a backup) is at. Counts and times are those of its stage. */
export interface Activity {
  readonly job: string | undefined;
  readonly subject: string;
  readonly stage: Stage;
  readonly bytesDone: number;
  readonly bytesStored: number | undefined;
  readonly filesDone: number | undefined;
  readonly totalBytes: number | undefined;
  readonly elapsedMs: number;
  readonly bytesPerSecond: number;
  /** Undefined where the size is not known, or was guessed too small. */
  readonly etaMs: number | undefined;
}

interface Entry {
  readonly job: string | undefined;
  readonly subject: string;
  readonly stage: Stage;
  readonly totalBytes: number | undefined;
  readonly begunMs: number;
  bytesDone: number;
  bytesStored: number | undefined;
  filesDone: number | undefined;
}

/** Keeps what all subjects are at, out of events; `now` in milliseconds. */
export function trackActivities(now: () => number) {
  const entries = new Map<string, Entry>();
  const keyOf = ({ job, subject }: { job?: string; subject: string }) => JSON.stringify([job, subject]);
  function begin(
    event: { job?: string; subject: string; totalBytes?: number },
    stage: Stage,
    begunMs: number,
  ): Entry {
    const { job, subject, totalBytes } = event;
    const counts = { bytesDone: 0, bytesStored: undefined, filesDone: undefined };
    const entry = { job, subject, stage, totalBytes, begunMs, ...counts };
    entries.set(keyOf(event), entry);
    return entry;
  }
  return {
    take(event: DguardEvent): void {
      if (event.type === 'stage') begin(event, event.stage, now());
      if (event.type === 'done') entries.delete(keyOf(event));
      if (event.type !== 'progress') return;
      const entry = entries.get(keyOf(event)) ?? begin(event, 'read', now());
      entry.bytesDone = event.bytesDone;
      entry.bytesStored = event.bytesStored;
      entry.filesDone = event.filesDone;
    },
    list: (): Activity[] => [...entries.values()].map((entry) => measured(entry, now())),
    clear: () => entries.clear(),
  };
}

function measured({ begunMs, ...entry }: Entry, nowMs: number): Activity {
  const elapsedMs = Math.max(0, nowMs - begunMs);
  // In the first instants a rate is a guess.
  const bytesPerSecond = elapsedMs < 100 ? 0 : Math.round((entry.bytesDone * 1000) / elapsedMs);
  const left = entry.totalBytes === undefined ? -1 : entry.totalBytes - entry.bytesDone;
  const etaMs = left < 0 || bytesPerSecond === 0 ? undefined : Math.round((left / bytesPerSecond) * 1000);
  return { ...entry, elapsedMs: Math.round(elapsedMs), bytesPerSecond, etaMs };
}

/** All that goes on as one line of at most `width` characters. */
export function activityLine(activities: readonly Activity[], width: number): string {
  const [first, ...others] = activities;
  if (!first) return '';
  const text = others.length === 0 ? full(first) : activities.map(short).join(' | ');
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

function full(activity: Activity): string {
  const { subject, stage, filesDone, elapsedMs, etaMs } = activity;
  const files = filesDone === undefined ? [] : [`${filesDone} files`];
  const amount = activity.bytesDone === 0 ? [] : [amountText(activity), ...files, rateText(activity)];
  const eta = etaMs === undefined ? [] : [`ETA ${durationText(etaMs)}`];
  return `${plainText(subject)}: ${[stage, ...amount, durationText(elapsedMs), ...eta].join(', ')}`;
}

function short(activity: Activity): string {
  const { subject, stage, bytesDone } = activity;
  const amount = bytesDone === 0 ? '' : ` ${amountText(activity)} ${rateText(activity)}`;
  return `${plainText(subject)}: ${stage}${amount}`;
}

function amountText({ bytesDone, totalBytes }: Activity): string {
  const total = totalBytes === undefined || totalBytes < bytesDone ? '' : ` of ${sizeText(totalBytes)}`;
  return `${sizeText(bytesDone)}${total}`;
}

function rateText({ bytesPerSecond }: Activity): string {
  return `${sizeText(bytesPerSecond)}/s`;
}
