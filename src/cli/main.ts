import { CommanderError } from 'commander';
import { DguardError } from '../errors.ts';
import { createProgram } from './program.ts';
import { errorLines } from './render/outcome.ts';

/** Runs one command and returns its exit status. Signals abort it: children end, partial work is removed. */
export async function main(argv: readonly string[]): Promise<number> {
  const controller = new AbortController();
  const abort = (code: 'interrupted' | 'terminated', text: string) => () => {
    if (controller.signal.aborted) process.exit(code === 'interrupted' ? 130 : 143);
    controller.abort(new DguardError(code, text));
  };
  process.on('SIGINT', abort('interrupted', 'interrupted'));
  process.on('SIGTERM', abort('terminated', 'terminated'));
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
  });
  let status = 0;
  const program = createProgram(async (...command) => {
    const { runCommand } = await import('./run.ts');
    status = await runCommand(...command, controller.signal);
  });
  try {
    await program.parseAsync([...argv]);
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
    process.stderr.write(`${errorLines(thrown, argv.includes('-v') || argv.includes('--verbose'))}\n`);
    return thrown instanceof DguardError ? thrown.exitStatus : 1;
  }
  return status;
}
