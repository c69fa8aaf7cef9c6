import { EXIT_STATUS, toDguardError } from '../errors.ts';
import { createContext, type GlobalOptions } from './context.ts';
import type { CommandDefinition } from './definition.ts';
import { jsonDocument } from './render/outcome.ts';

/** Runs one command and returns its exit status; what it throws is printed, as a document too with `--json`. */
export async function runCommand(
  definition: CommandDefinition,
  name: string,
  options: GlobalOptions,
  words: readonly unknown[],
  signal: AbortSignal,
): Promise<number> {
  const context = createContext(options, signal);
  let status = EXIT_STATUS.internal;
  try {
    const action = await definition.load?.();
    status = (await action?.(context, ...(words as never[]))) ?? 0;
  } catch (thrown) {
    const error = toDguardError(thrown, 'internal', { operation: name });
    status = error.exitStatus;
    context.finish();
    context.report(error);
    if (options.json) context.print(jsonDocument(name, status, definition.empty ?? {}, [error]));
  } finally {
    context.end(name, status);
  }
  return status;
}
