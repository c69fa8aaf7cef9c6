import { abortError } from '../errors.ts';
import { startChild } from './start.ts';
import type { Child, ChildOptions, OutputOptions } from './types.ts';
import { wideOutput } from './wide-output.ts';

/**
 * Starts a program (no shell) whose output is read as a stream. Errors, by `stdout` and `done` alike:
 * `tool_missing` when there is no such program, the signal's reason on abort, the error of `stdin`, else
 * `failure.code` with the exit status and the end of stderr.
 */
export async function openChild(
  argv: readonly string[],
  options: ChildOptions & OutputOptions,
): Promise<Child> {
  if (options.signal.aborted) throw abortError(options.signal);
  const { pipeFolder, elsewhere = false } = options;
  const wide = pipeFolder === undefined ? {} : await wideOutput(pipeFolder, elsewhere, options);
  return startChild(argv, options, wide);
}
