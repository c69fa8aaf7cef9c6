import { toDguardError } from '../errors.ts';
import { createContext, type GlobalOptions } from './context.ts';
import type { CommandDefinition } from './definition.ts';
import { errorLines, jsonDocument } from './render/outcome.ts';

/** Runs one command and returns its exit status; what it throws is printed, as a document too with `--json`. */
export async function runCommand(
  definition: CommandDefinition,
  name: string,
  options: GlobalOptions,
  words: readonly unknown[],
  signal: AbortSignal,
): Promise<number> {
  const context = createContext(options, signal);
  try {
    const action = await definition.load?.();
    return (await action?.(context, ...(words as never[]))) ?? 0;
  } catch (thrown) {
    const error = toDguardError(thrown, 'internal', { operation: name });
    context.finish();
    if (options.json) context.print(jsonDocument(name, error.exitStatus, definition.empty ?? {}, [error]));
    context.note(errorLines(error, options.verbose === true));
    return error.exitStatus;
  } finally {
    context.finish();
  }
}
