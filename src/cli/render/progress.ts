import type { DguardEvent, Emit } from '../../events.ts';
import { plainText, sizeText } from './text.ts';

interface ProgressOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly progress?: boolean;
}

const PLAIN_EVERY_MS = 10_000;

/**
 * Draws events: a spinner line on a terminal, a plain line now and then elsewhere, nothing with
 * `--quiet`. Warnings and errors always come out, on stderr.
 */
export function createProgress(options: ProgressOptions, note: (text: string) => void) {
  const shown = options.progress !== false && !options.quiet && !options.json;
  const terminal = shown && process.stderr.isTTY === true;
  let spinner: { text: string; stop(): unknown; start(): unknown } | undefined;
  let loading = false;
  let lastPlain = performance.now();
  const begun = performance.now();

  function draw(text: string): void {
    if (spinner) spinner.text = text;
    else if (!loading) {
      loading = true;
      void import('ora').then(({ default: ora }) => {
        if (loading) spinner = ora({ text, stream: process.stderr }).start();
      });
    }
  }

  const emit: Emit = (event: DguardEvent) => {
    if (event.type === 'log') {
      if (event.level === 'debug' && !options.verbose) return;
      if (event.level === 'info' && (options.quiet || !options.verbose)) return;
      spinner?.stop();
      note(
        `${event.level}: ${event.subject ? `${plainText(event.subject)}: ` : ''}${plainText(event.message)}`,
      );
      spinner?.start();
      return;
    }
    if (!shown) return;
    if (event.type === 'stage') {
      if (terminal) draw(`${event.subject}: ${event.stage}`);
      else note(`${event.subject}: ${event.stage}`);
    } else if (event.type === 'progress') {
      const seconds = (performance.now() - begun) / 1000;
      const files = event.filesDone === undefined ? '' : `, ${event.filesDone} files`;
      const rate = sizeText(Math.round(event.bytesDone / Math.max(seconds, 0.1)));
      const text = `${event.subject}: ${sizeText(event.bytesDone)}${files}, ${rate}/s, ${Math.round(seconds)} s`;
      if (terminal) draw(text);
      else if (performance.now() - lastPlain > PLAIN_EVERY_MS) {
        lastPlain = performance.now();
        note(text);
      }
    }
  };
  return {
    emit,
    finish() {
      loading = false;
      spinner?.stop();
      spinner = undefined;
    },
  };
}
