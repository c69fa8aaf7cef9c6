import { redact } from '../config/secret.ts';
import type { DguardEvent, Emit } from '../events.ts';
import { createLog, type LogRecord } from './log.ts';
import { errorJson, errorLines } from './render/outcome.ts';
import { createProgress, jsonLine, type ProgressStyle } from './render/progress.ts';
import { plainText } from './render/text.ts';

/** Pieces of a result are written together until they are as long. */
const PIECE_LENGTH = 64 * 1024;

export interface OutputOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly color?: boolean;
  readonly progress?: boolean;
  readonly logDir?: string;
}

/**
 * The one place where text leaves: results on stdout; progress, warnings and errors on stderr, and in the
 * log of `--log-dir`. With `--json` all of stderr is JSON lines. No secret passes, and no escape codes
 * but the spinner's, which only a terminal with colours gets.
 */
export interface Output {
  /** A result, on stdout, whole or in pieces. */
  readonly print: (text: string | Iterable<string>) => void;
  /** Bytes of a result; when there is room for more. False where nobody reads any more. */
  readonly write: (bytes: Uint8Array) => Promise<boolean>;
  /** Something else to read, on stderr. */
  readonly note: (text: string) => void;
  /** A warning, on stderr and in the log. */
  readonly warn: (message: string, subject?: string) => void;
  /** An error that does not end the command; what a command throws is reported for it. */
  readonly report: (thrown: unknown, job?: string) => void;
  /** For the log only. */
  readonly record: (record: LogRecord) => void;
  readonly emit: Emit;
  /** The progress is over; the next event begins it anew. */
  readonly finish: () => void;
  /** The time zone of the log's days. */
  readonly setTimeZone: (timeZone: () => string) => void;
  /** The last call: the command's outcome, for the log. */
  readonly end: (command: string, exitCode: number) => void;
}

export function createOutput(options: OutputOptions): Output {
  const now = () => new Date();
  const begunMs = performance.now();
  const progress = createProgress({
    style: styleOf(options),
    write: toStderr,
    columns: () => process.stderr.columns,
    now,
  });
  const log =
    options.logDir === undefined
      ? undefined
      : createLog({
          folder: options.logDir,
          now,
          timeZone: systemTimeZone(),
          warn: (message) => show({ type: 'log', level: 'warning', message }),
        });

  function toStdout(text: string): void {
    if (!process.stdout.destroyed) process.stdout.write(text);
  }
  function toStderr(text: string): void {
    progress.clear();
    process.stderr.write(`${redact(text)}\n`);
  }
  function show(event: DguardEvent & { type: 'log' }): void {
    const { level, job, subject, message, data } = event;
    if (level === 'debug' && !options.verbose) return;
    if (level === 'info' && (options.quiet || !options.verbose)) return;
    const of = subject === undefined ? '' : `${plainText(subject)}: `;
    const fields = { level, job, subject, message, data };
    toStderr(
      options.json
        ? jsonLine(now(), 'log', fields)
        : `${level}: ${of}${redact(message).split('\n').map(plainText).join('\n')}`,
    );
  }
  const emit: Emit = (event) => {
    log?.event(event);
    if (event.type === 'log') show(event);
    else progress.emit(event);
  };
  return {
    print(text) {
      progress.clear();
      let held = '';
      for (const piece of typeof text === 'string' ? [text] : text) {
        held += piece;
        if (held.length < PIECE_LENGTH) continue;
        toStdout(held);
        held = '';
      }
      toStdout(`${held}\n`);
    },
    async write(bytes) {
      const { stdout } = process;
      if (!stdout.destroyed && !stdout.write(bytes)) {
        await new Promise<void>((resolve) => {
          // Both go: a large file waits thousands of times, and Node warns of listeners that pile up.
          const done = () => {
            stdout.off('drain', done).off('close', done);
            resolve();
          };
          stdout.on('drain', done).on('close', done);
        });
      }
      return !stdout.destroyed;
    },
    note(text) {
      log?.write({ level: 'info', message: text });
      toStderr(options.json ? jsonLine(now(), 'log', { level: 'info', message: text }) : text);
    },
    warn: (message, subject) =>
      emit({ type: 'log', level: 'warning', message, ...(subject === undefined ? {} : { subject }) }),
    report(thrown, job) {
      const { message, subject, ...data } = errorJson(thrown);
      const fields = { level: 'error', job, subject: subject ?? undefined, message, data } as const;
      log?.write(fields);
      toStderr(options.json ? jsonLine(now(), 'log', fields) : errorLines(thrown, options.verbose === true));
    },
    record: (record) => log?.write(record),
    emit,
    finish: progress.finish,
    setTimeZone: (timeZone) => log?.setTimeZone(timeZone()),
    end(command, exitCode) {
      progress.finish();
      const level = exitCode === 0 ? 'info' : [3, 75].includes(exitCode) ? 'warning' : 'error';
      const data = { command, exit_code: exitCode, duration_ms: Math.round(performance.now() - begunMs) };
      const message = `${command}: exit ${exitCode}`;
      const jobs = log?.jobs() ?? [];
      for (const job of jobs.length > 0 ? jobs : [undefined]) log?.write({ level, job, message, data });
      log?.close();
    },
  };
}

export function systemTimeZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** A spinner moves the cursor: escape codes too, so `--no-color` and NO_COLOR get lines. */
function styleOf(options: OutputOptions): ProgressStyle {
  if (options.progress === false || options.quiet) return 'none';
  if (options.json) return 'json';
  const { NO_COLOR, TERM, CI } = process.env;
  // A CI log keeps every redrawn line; ora draws nothing there either.
  if (CI !== undefined) return 'lines';
  const plain = options.color === false || (NO_COLOR !== undefined && NO_COLOR !== '') || TERM === 'dumb';
  // A terminal that does not know its width (0, in some containers) has no line to redraw.
  const drawable = process.stderr.isTTY === true && process.stderr.columns > 0;
  return drawable && !plain ? 'spinner' : 'lines';
}
