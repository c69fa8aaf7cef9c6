import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { redact } from '../config/secret.ts';
import { errorText } from '../errors.ts';
import type { DguardEvent, LogLevel } from '../events.ts';
import { makeFolders } from '../folders.ts';
import { encodePart } from '../plan/naming.ts';

export interface LogRecord {
  readonly level: LogLevel;
  readonly job?: string | undefined;
  readonly subject?: string | undefined;
  readonly message: string;
  readonly data?: Readonly<Record<string, unknown>> | undefined;
}

export interface LogOptions {
  readonly folder: string;
  readonly now: () => Date;
  /** IANA name. */
  readonly timeZone: string;
  /** Told once, when nothing can be written. */
  readonly warn: (message: string) => void;
}

/** What has no job goes there. */
const NO_JOB = 'dguard';
const APPEND = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;

/**
 * The log of `--log-dir`: one JSON line per record, appended to `{job}_{YYYY-MM-DD}.log` (mode 0600, in a
 * folder that is made with 0700), without secrets. A log that cannot be written is a warning, and the end
 * of the log: never of the work.
 */
export function createLog(options: LogOptions) {
  const files = new Map<string, { name: string; fd: number }>();
  const runIds = new Map<string, string>();
  let dayOf = dayFormatter(options.timeZone);
  let dead = false;

  function write(record: LogRecord): void {
    if (dead) return;
    const { level, job, subject, message, data } = record;
    const at = options.now();
    // Whoever begins a run says its id once, in a record's data; the job's later records carry it too.
    const told = data?.['run_id'];
    if (job !== undefined && typeof told === 'string') runIds.set(job, told);
    const run_id = job === undefined ? undefined : runIds.get(job);
    const line = JSON.stringify(
      { time: at.toISOString(), level, job, subject, run_id, message, data },
      (_, value: unknown) =>
        typeof value === 'string' ? redact(value) : typeof value === 'bigint' ? String(value) : value,
    );
    try {
      writeSync(open(job ?? NO_JOB, at), `${line}\n`);
    } catch (error) {
      dead = true;
      options.warn(`nothing more is logged to ${options.folder}: ${errorText(error)}`);
    }
  }

  function open(job: string, at: Date): number {
    const name = `${encodePart(job)}_${dayOf(at)}.log`;
    const before = files.get(job);
    if (before?.name === name) return before.fd;
    if (before) closeSync(before.fd);
    makeFolders(options.folder);
    const fd = openSync(join(options.folder, name), APPEND, 0o600);
    files.set(job, { name, fd });
    return fd;
  }

  return {
    write,
    event: (event: DguardEvent) => {
      const record = recordOf(event);
      if (record) write(record);
    },
    /** The configuration may come later than the first record. */
    setTimeZone(timeZone: string) {
      dayOf = dayFormatter(timeZone);
    },
    /** The jobs that have records of this process. */
    jobs: () => [...files.keys()].filter((job) => job !== NO_JOB),
    close() {
      dead = true;
      for (const { fd } of files.values()) closeSync(fd);
      files.clear();
    },
  };
}

const OUTCOME_LEVELS = { completed: 'info', partial: 'warning', failed: 'error' } as const;

function recordOf(event: DguardEvent): LogRecord | undefined {
  if (event.type === 'log') return event;
  const { job, subject } = event;
  if (event.type === 'stage') {
    const data = event.totalBytes === undefined ? {} : { data: { total_bytes: event.totalBytes } };
    return { level: 'info', job, subject, message: `begin: ${event.stage}`, ...data };
  }
  if (event.type === 'done') {
    return { level: OUTCOME_LEVELS[event.outcome], job, subject, message: `done: ${event.outcome}` };
  }
  return undefined;
}

/** Writes `2026-01-31` for a moment there; making a formatter is too slow for every record. */
function dayFormatter(timeZone: string): (at: Date) => string {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  });
  return (at) => {
    const of = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    return `${of['year']}-${of['month']}-${of['day']}`;
  };
}
