import type { DguardEvent, Emit } from '../../events.ts';
import { activityLine, trackActivities } from './activity.ts';

export type ProgressStyle = 'spinner' | 'lines' | 'json' | 'none';

/** Where progress goes; `write` gets whole lines without their end. */
export interface ProgressOutput {
  readonly style: ProgressStyle;
  readonly write: (line: string) => void;
  readonly columns: () => number | undefined;
  readonly now: () => Date;
}

const SPINNER_EVERY_MS = 500;
const PLAIN_EVERY_MS = 10_000;
const JSON_EVERY_MS = 1000;

interface Spinner {
  text: string;
  start(): unknown;
  stop(): unknown;
  clear(): unknown;
}

/**
 * Shows what goes on: a spinner's line on a terminal, a plain line every ten seconds elsewhere (short work
 * says nothing), JSON lines with `--json`. All that is active shares the one line. `log` events are not
 * its subject.
 */
export function createProgress(output: ProgressOutput) {
  const { style } = output;
  const activities = trackActivities(() => performance.now());
  let spinner: Spinner | undefined;
  let timer: NodeJS.Timeout | undefined;
  const line = (width: number) => activityLine(activities.list(), width);

  function draw(): void {
    const text = line(Math.max(20, (output.columns() ?? 80) - 3));
    if (text === '') return;
    if (style === 'lines') output.write(text);
    else if (style === 'json') for (const activity of activities.list()) output.write(progressJson(activity));
    else if (spinner) spinner.text = text;
  }
  const progressJson = (activity: ReturnType<typeof activities.list>[number]) =>
    jsonLine(output.now(), 'progress', {
      job: activity.job,
      subject: activity.subject,
      stage: activity.stage,
      bytes_done: activity.bytesDone,
      bytes_stored: activity.bytesStored,
      files_done: activity.filesDone,
      total_bytes: activity.totalBytes,
      bytes_per_second: activity.bytesPerSecond,
      elapsed_ms: activity.elapsedMs,
      eta_ms: activity.etaMs,
    });

  function begin(): void {
    if (timer) return;
    const everyMs = { spinner: SPINNER_EVERY_MS, lines: PLAIN_EVERY_MS, json: JSON_EVERY_MS, none: 0 }[style];
    const mine = setInterval(draw, everyMs);
    timer = mine;
    mine.unref();
    if (style !== 'spinner') return;
    void import('ora').then(({ default: ora }) => {
      // It may be over by now.
      if (timer !== mine) return;
      spinner = ora({ text: line(60), stream: process.stderr, discardStdin: false });
      spinner.start();
    });
  }

  const emit: Emit = (event: DguardEvent) => {
    if (style === 'none' || event.type === 'log') return;
    activities.take(event);
    if (style === 'json' && event.type === 'stage') {
      const { job, subject, stage, totalBytes } = event;
      output.write(jsonLine(output.now(), 'stage', { job, subject, stage, total_bytes: totalBytes }));
    }
    if (style === 'json' && event.type === 'done') {
      const { job, subject, outcome } = event;
      output.write(jsonLine(output.now(), 'done', { job, subject, outcome }));
    }
    begin();
  };
  return {
    emit,
    /** Makes room for other text; what goes on is drawn again later. */
    clear: () => void spinner?.clear(),
    finish() {
      clearInterval(timer);
      timer = undefined;
      activities.clear();
      spinner?.stop();
      spinner = undefined;
    },
  };
}

/** One line of what `--json` prints on stderr. */
export function jsonLine(at: Date, type: string, fields: object): string {
  return JSON.stringify({ type, time: at.toISOString(), ...fields });
}
