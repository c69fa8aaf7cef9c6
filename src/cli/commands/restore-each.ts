import { resolve } from 'node:path';
import { displayPath } from '../../archive/paths.ts';
import type { RestoreOutcome, Warning } from '../../engines/types.ts';
import { combineExitStatus, DguardError, toDguardError } from '../../errors.ts';
import { shellWord } from '../../shell-word.ts';
import { confirm } from '../confirm.ts';
import type { Context } from '../context.ts';
import { jsonDocument } from '../render/outcome.ts';
import { plainText, sizeText } from '../render/text.ts';
import type { RestoreCommandOptions } from './restore-options.ts';

type Outcome = RestoreOutcome & { readonly warnings: readonly Warning[] };

/** One of the restores of a command. */
export interface Piece {
  /** The datasource's name. */
  readonly name: string;
  /** What is restored: a backup's id, a dump's folder. */
  readonly what: string;
  /** The same for a plan: when it was made, where it lies. */
  readonly title: string;
  readonly job?: string;
  /** What is restored is not all that was to be in it. */
  readonly partial: boolean;
  /** The command that takes it back. */
  readonly undoCommand: string;
  run(dryRun: boolean): Promise<Outcome>;
  json(outcome: Outcome): object;
}

/**
 * Restores each to its place; one that fails does not keep the others from theirs. Returns the exit status; `lacking`:
 * what was asked for is more than these.
 */
export async function restoreEach(
  context: Context,
  command: string,
  pieces: readonly Piece[],
  options: RestoreCommandOptions,
  lacking = false,
): Promise<number> {
  const dryRun = options.dryRun === true;
  const statuses: number[] = lacking ? [3] : [];
  const restored: object[] = [];
  const failures: DguardError[] = [];
  for (const piece of pieces) {
    try {
      if (options.deleteExtra && !dryRun && !options.yes) {
        const { plan = [] } = await piece.run(true);
        context.finish();
        for (const step of plan) context.note(`would: ${plainText(step)}`);
        await confirm(context, 'restore', `Do this to ${piece.name}?`);
      }
      const outcome = await piece.run(dryRun);
      context.finish();
      const partial = piece.partial || outcome.warnings.some((warning) => warning.partial);
      statuses.push(partial ? 3 : 0);
      restored.push(piece.json(outcome));
      for (const { subject, message } of outcome.warnings)
        context.warn(message, subject === undefined ? undefined : displayPath(subject));
      if (!context.options.json) print(context, piece, outcome, dryRun);
    } catch (thrown) {
      const error = ofRestore(
        toDguardError(thrown, 'target_failed', { operation: command, subject: piece.what }),
        command,
        piece.what,
      );
      statuses.push(error.exitStatus);
      failures.push(error);
      context.finish();
      context.report(error, piece.job);
    }
  }
  const status = combineExitStatus(statuses);
  if (context.options.json)
    context.print(
      jsonDocument(command, status, { restored, ...(dryRun ? { dry_run: true } : {}) }, failures),
    );
  return status;
}

/** Whoever ended a restore asks what has become of the target. */
export function ofRestore(error: DguardError, operation: string, subject: string): DguardError {
  if (error.code !== 'interrupted' && error.code !== 'terminated') return error;
  return new DguardError(error.code, error.message, {
    operation,
    subject,
    hint: 'the target is all old or all new, at the latest after the next command on it: look, then run it again',
    cause: error,
  });
}

function print(context: Context, piece: Piece, outcome: Outcome, dryRun: boolean): void {
  if (outcome.plan) context.print(`${piece.name}: ${piece.title}`);
  for (const step of outcome.plan ?? []) context.print(`would: ${step}`);
  if (dryRun) return;
  const files = outcome.filesCount === undefined ? '' : `, ${outcome.filesCount} files`;
  const size = `${sizeText(outcome.sizeBytes)}${files}${tablesText(outcome)}`;
  context.print(plainText(`${piece.name}: restored ${piece.what} to ${outcome.target} (${size})`));
  if (outcome.undo) {
    context.print(plainText(`  what was there before is kept: ${outcome.undo}`));
    context.print(plainText(`  to take it back: ${piece.undoCommand}`));
  }
  if (outcome.safety) {
    context.print(`  what was there before is backed up for 7 days: ${outcome.safety}`);
    const { config } = context.options;
    const file = config === undefined ? '' : ` --config ${shellWord(resolve(config))}`;
    context.print(plainText(`  to take it back: dguard restore ${outcome.safety} --overwrite${file}`));
  }
}

/** Which tables, where they are few: who has restored one wants to read that it was that one. */
function tablesText({ tables }: Outcome): string {
  if (tables === undefined || tables.length === 0) return '';
  if (tables.length > 3) return `, ${tables.length} tables`;
  return plainText(`; ${tables.map(({ name }) => name).join(', ')}`);
}
