import { copiesOf, readCatalogs, refuseUnlisted, unknownBackup } from '../../core/find.ts';
import { type MarkKind, putMark } from '../../core/marks.ts';
import { combineExitStatus, DguardError, toDguardError } from '../../errors.ts';
import { type Context, openDestinations } from '../context.ts';
import { jsonDocument } from '../render/outcome.ts';

interface Options {
  readonly from?: string;
  readonly destination?: string;
}

export const acceptCommand = (context: Context, id: string, options: Options): Promise<number> =>
  mark(context, id, options, 'accept', 'accepted', {});
export const pinCommand = (context: Context, id: string, options: Options): Promise<number> =>
  mark(context, id, options, 'pin', 'pinned', { pinned: true });
export const unpinCommand = (context: Context, id: string, options: Options): Promise<number> =>
  mark(context, id, options, 'unpin', 'pinned', { pinned: false });

/** Puts one mark beside every copy of a backup that can be written to. */
async function mark(
  context: Context,
  id: string,
  options: Options,
  command: string,
  kind: MarkKind,
  fields: Readonly<Record<string, unknown>>,
): Promise<number> {
  const destinations = await openDestinations(context, options.from ?? options.destination);
  const catalogs = await readCatalogs(destinations, context.runtime.signal);
  const { entries, errors } = catalogs;
  const copies = copiesOf(entries, id);
  const [first] = copies;
  if (!first) refuseUnlisted(catalogs, id, command);
  if (!first) throw unknownBackup(entries, id, command);
  if (!first.manifest) throw first.error;
  if (kind === 'accepted' && first.manifest.status !== 'suspect') {
    throw new DguardError('usage', `it is ${first.manifest.status}, not suspect: there is no doubt to end`, {
      operation: command,
      subject: id,
      hint: '`dguard show` says what is wrong with a backup',
    });
  }
  const failures = errors.map(({ error }) => toDguardError(error, 'storage_failed'));
  const marked: string[] = [];
  for (const copy of copies) {
    const place = `${copy.destination.name}:${copy.folder}`;
    try {
      const facts = { id: first.manifest.id, manifestBytes: copy.manifestBytes, ...fields };
      await putMark(copy.destination.storage, copy.folder, kind, facts, context.runtime);
      marked.push(place);
    } catch (thrown) {
      failures.push(toDguardError(thrown, 'storage_failed', { operation: command, subject: place }));
    }
  }
  // One copy that could not be marked is a copy that is judged otherwise: that is told by the status.
  const status =
    marked.length > 0 && failures.length > 0 ? 3 : combineExitStatus(failures.map((e) => e.exitStatus));
  for (const error of failures) context.report(error);
  if (context.options.json) context.print(jsonDocument(command, status, { marked }, failures));
  else for (const place of marked) context.print(`${command}: ${place}`);
  return status;
}
