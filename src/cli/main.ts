import { CommanderError } from 'commander';
import { DguardError, EXIT_STATUS } from '../errors.ts';
import { endNow } from './end.ts';
import { createProgram } from './program.ts';

export { endNow, endWhenWritten } from './end.ts';

/** A second signal ends at once, but timeout(1), sudo and the like send one twice. */
const ONCE_MS = 500;

/** Runs one command and returns its exit status. Signals abort it: children end, partial work is removed. */
export async function main(argv: readonly string[]): Promise<number> {
  const controller = new AbortController();
  let heardAt = 0;
  const abort = (code: 'interrupted' | 'terminated', text: string) => () => {
    if (controller.signal.aborted) {
      if (performance.now() - heardAt < ONCE_MS) return;
      process.exitCode = EXIT_STATUS[code];
      endNow();
    }
    heardAt = performance.now();
    controller.abort(new DguardError(code, text));
  };
  process.on('SIGINT', abort('interrupted', 'interrupted'));
  process.on('SIGTERM', abort('terminated', 'terminated'));
  // Node takes back what nohup(1) has set: a closed terminal is heard in any case, and must leave nothing behind.
  process.on('SIGHUP', abort('terminated', 'the terminal or the session was closed'));
  // Nobody reads any more (`| head`): no reason to stop a backup, or to hide how it ended. Where somebody
  // wants to, a result that could not be written (a full disk) is not done.
  let unwritten: NodeJS.ErrnoException | undefined;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') unwritten = error;
  });
  process.stderr.on('error', () => undefined);
  const end = argv.indexOf('--');
  const json = argv.slice(0, end === -1 ? undefined : end).includes('--json');
  let status = 0;
  let failed = { name: 'dguard', empty: {} };
  const program = createProgram({
    silent: json,
    onExit: (name, empty) => {
      failed = { name, empty };
    },
    run: async (...command) => {
      const { runCommand } = await import('./run.ts');
      status = await runCommand(...command, controller.signal);
    },
  });
  try {
    await program.parseAsync([...argv]);
  } catch (thrown) {
    if (thrown instanceof CommanderError && (thrown.exitCode === 0 || !json))
      return thrown.exitCode === 0 ? 0 : 2;
    const { reportUsage } = await import('./run.ts');
    return reportUsage(failed.name, failed.empty, json, thrown);
  }
  await new Promise((resolve) => setImmediate(resolve)); // an error of the last write comes a tick after it
  if (unwritten && status === 0) {
    process.stderr.write(`error: write the result to stdout: ${unwritten.message}\n`);
    process.stderr.write('  next: make room where stdout goes, and run it again\n');
    return 1;
  }
  return status;
}
