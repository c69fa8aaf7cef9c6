import { deleteCopy } from '../../core/delete.ts';
import { copiesOf, readCatalogs } from '../../core/find.ts';
import { DguardError } from '../../errors.ts';
import { type Context, openDestinations } from '../context.ts';
import { jsonDocument } from '../render/outcome.ts';
import { plainText } from '../render/text.ts';

interface Options {
  readonly from?: string;
  readonly destination?: string;
  readonly yes?: boolean;
}

export async function deleteCommand(
  context: Context,
  ids: readonly string[],
  options: Options,
): Promise<number> {
  const destinations = await openDestinations(context, options.from ?? options.destination);
  const { entries } = await readCatalogs(destinations, context.runtime.signal);
  const chosen = ids.map((id) => {
    const copies = copiesOf(entries, id);
    if (copies.length > 0) return copies;
    throw new DguardError('unknown_name', `there is no backup ${id}`, {
      operation: 'delete',
      subject: id,
      hint: '`dguard list` shows what there is; nothing was deleted',
    });
  });
  if (!options.yes) await confirm(context, chosen.flat().length);
  const deleted: string[] = [];
  for (const copy of chosen.flat()) {
    const left = await deleteCopy(copy, entries, context.runtime);
    deleted.push(`${copy.destination.name}:${copy.folder}`);
    for (const name of left)
      context.note(`warning: ${copy.folder}/${plainText(name)} is not dguard's and was left alone`);
    if (!context.options.json)
      context.print(`deleted ${copy.manifest?.id ?? copy.folder} at ${copy.destination.name}`);
  }
  if (context.options.json) context.print(jsonDocument('delete', 0, { deleted }, []));
  return 0;
}

async function confirm(context: Context, count: number): Promise<void> {
  const refused = new DguardError('usage', 'not deleted: it was not confirmed', {
    operation: 'delete',
    hint: 'add --yes',
  });
  if (!process.stdin.isTTY) throw refused;
  const prompts = await import('@inquirer/prompts');
  context.finish();
  if (!(await prompts.confirm({ message: `Delete ${count} copies for good?`, default: false })))
    throw refused;
}
