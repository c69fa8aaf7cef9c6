import type { CatalogEntry } from '../../core/catalog.ts';
import { copiesOf, readCatalogs, refuseUnlisted } from '../../core/find.ts';
import { deleteCopies, dependentsOf, lossesOf } from '../../core/prune/delete.ts';
import { combineExitStatus, DguardError, toDguardError } from '../../errors.ts';
import { confirm } from '../confirm.ts';
import { type Context, openDestinations } from '../context.ts';
import { jsonDocument } from '../render/outcome.ts';
import { plainText } from '../render/text.ts';

interface Options {
  readonly from?: string;
  readonly destination?: string;
  readonly withDependents?: boolean;
  readonly yes?: boolean;
}

export async function deleteCommand(
  context: Context,
  ids: readonly string[],
  options: Options,
): Promise<number> {
  const destinations = await openDestinations(context, options.from ?? options.destination);
  const catalogs = await readCatalogs(destinations, context.runtime.signal);
  const { entries, errors } = catalogs;
  const chosen = ids.flatMap((id) => {
    const copies = copiesOf(entries, id);
    if (copies.length > 0) return copies;
    refuseUnlisted(catalogs, id, 'delete');
    throw new DguardError('unknown_name', `there is no backup ${id}`, {
      operation: 'delete',
      subject: id,
      hint: '`dguard list` shows what there is; nothing was deleted',
    });
  });
  const dependents = options.withDependents ? dependentsOf(chosen, entries) : [];
  for (const copy of dependents) context.note(`with it goes what needs it: ${placeOf(copy)}`);
  const doomed = [...chosen, ...dependents];
  // To name a backup is enough to delete it, a pinned one too; what that costs is never passed over in silence.
  for (const { copy, message } of lossesOf(doomed, entries)) context.warn(message, placeOf(copy));
  const count = doomed.length;
  if (!options.yes) await confirm(context, 'delete', `Delete ${count} copies for good?`);
  const { removed, spared, left } = await deleteCopies(
    chosen,
    entries,
    options.withDependents === true,
    context.runtime,
  );
  const failures = [
    ...errors.map(({ error }) => toDguardError(error, 'storage_failed')),
    ...spared.map(
      ({ entry, reason }) =>
        new DguardError('target_refused', `not deleted: ${reason}`, {
          operation: 'delete',
          subject: placeOf(entry),
          hint: 'try again when that has ended; what was killed on another host, or in another container, counts until 2.5 h after its last sign of life',
        }),
    ),
  ];
  const status = combineExitStatus(failures.map(({ exitStatus }) => exitStatus));
  for (const key of left) context.warn("is not dguard's and was left alone", key);
  for (const error of failures) context.report(error);
  if (context.options.json) {
    context.print(jsonDocument('delete', status, { deleted: removed.map(placeOf) }, failures));
    return status;
  }
  for (const copy of removed) {
    context.print(`deleted ${plainText(copy.manifest?.id ?? copy.folder)} at ${copy.destination.name}`);
  }
  return status;
}

function placeOf(copy: CatalogEntry): string {
  return `${copy.destination.name}:${copy.folder}`;
}
