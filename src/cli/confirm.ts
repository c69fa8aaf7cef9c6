import { DguardError } from '../errors.ts';
import type { Context } from './context.ts';

/** Asks a person; without a terminal to ask at, or without a yes, it throws `usage`. */
export async function confirm(context: Context, operation: string, question: string): Promise<void> {
  const refused = new DguardError('usage', 'nothing was done: it was not confirmed', {
    operation,
    hint: 'add --yes',
  });
  context.finish();
  if (!process.stdin.isTTY || !process.stderr.isTTY) throw refused;
  const prompts = await import('@inquirer/prompts');
  const yes = await prompts
    .confirm(
      { message: question, default: false },
      { output: process.stderr, signal: context.runtime.signal },
    )
    .catch(() => false);
  if (!yes) throw refused;
}
