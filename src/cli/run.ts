import { CommanderError } from 'commander';
import { DguardError, EXIT_STATUS, toDguardError } from '../errors.ts';
import { createContext, type GlobalOptions } from './context.ts';
import type { CommandDefinition } from './definition.ts';
import { createOutput } from './output.ts';
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
    if (!action) throw new DguardError('internal', 'this command does nothing by itself');
    status = await action(context, ...(words as never[]));
  } catch (thrown) {
    const error = withOperation(withoutFolder(thrown) ?? toDguardError(thrown, 'internal'), name);
    status = error.exitStatus;
    context.finish();
    context.report(error);
    if (options.json) context.print(jsonDocument(name, status, definition.empty ?? {}, [error]));
  } finally {
    for (const storage of context.opened) await storage.close().catch(() => undefined);
    context.end(name, status);
  }
  return status;
}

/** The folder that a shell or a job stands in may be removed meanwhile: nothing relative means anything then. */
function withoutFolder(thrown: unknown): DguardError | undefined {
  if ((thrown as Partial<NodeJS.ErrnoException>).syscall !== 'uv_cwd') return undefined;
  return new DguardError('usage', 'the folder that it was started in is not there any more', {
    hint: 'cd to one that is (`cd /`), and run it again',
    cause: thrown,
  });
}

/** Says what failed where the thrower could not know. */
function withOperation(error: DguardError, operation: string): DguardError {
  if (error.operation !== undefined) return error;
  const { code, message, subject, hint } = error;
  const details = { operation, ...(subject ? { subject } : {}), ...(hint ? { hint } : {}) };
  return new DguardError(code, message, { ...details, cause: error.cause ?? error });
}

/** What never became a command: a wrong command line, or a fault of our own. */
export function reportUsage(name: string, empty: object, json: boolean, thrown: unknown): number {
  const error =
    thrown instanceof CommanderError
      ? new DguardError('usage', usageText(thrown), {
          operation: name,
          hint: `${name === 'dguard' ? name : `dguard ${name}`} --help`,
        })
      : toDguardError(thrown, 'internal', { operation: name });
  const output = createOutput({ json, verbose: true });
  output.report(error);
  if (json) output.print(jsonDocument(name, error.exitStatus, empty, [error]));
  return error.exitStatus;
}

function usageText({ code, message }: CommanderError): string {
  return code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '');
}
