import { DguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { CatalogEntry } from '../catalog.ts';
import { labelsOf } from '../groups.ts';
import { type Removal, removeCopies } from './remove.ts';

/**
 * The copies that must go with `copies`: those of backups that refer to them at the same destination, and so
 * on, newest first.
 */
export function dependentsOf(
  copies: readonly CatalogEntry[],
  all: readonly CatalogEntry[],
): readonly CatalogEntry[] {
  const doomed = new Set(copies);
  // References are complete: an ancestor's ancestor is among them, so one pass finds all.
  for (const entry of all) {
    const needs = new Set(entry.manifest?.references.map(({ id }) => id));
    const lost = copies.some(
      ({ destination, manifest }) =>
        destination === entry.destination && manifest !== undefined && needs.has(manifest.id),
    );
    if (lost) doomed.add(entry);
  }
  return [...doomed].filter((entry) => !copies.includes(entry));
}

/** What a person should know before these copies go: which are pinned, and of what no good backup is left there. */
export function lossesOf(
  doomed: readonly CatalogEntry[],
  all: readonly CatalogEntry[],
): { copy: CatalogEntry; message: string }[] {
  const losses: { copy: CatalogEntry; message: string }[] = [];
  const emptied = new Set<string>();
  const placeOf = ({ destination, manifest }: CatalogEntry) => {
    const { namespace, job, datasource } = labelsOf(manifest!);
    return JSON.stringify([destination.name, namespace, job, datasource]);
  };
  const left = new Set(all.filter((entry) => entry.good && !doomed.includes(entry)).map(placeOf));
  for (const copy of doomed) {
    if (copy.pinned) losses.push({ copy, message: 'it is pinned' });
    if (!copy.good || left.has(placeOf(copy)) || emptied.has(placeOf(copy))) continue;
    emptied.add(placeOf(copy));
    const { job, datasource } = labelsOf(copy.manifest!);
    losses.push({ copy, message: `no good backup of ${job}/${datasource} is left there without it` });
  }
  return losses;
}

/**
 * Deletes copies of backups, whatever policy or pin says, by the same marks as prune. What others refer to is
 * refused unless those go too. Errors: target_refused, before anything was deleted.
 */
export async function deleteCopies(
  copies: readonly CatalogEntry[],
  all: readonly CatalogEntry[],
  withDependents: boolean,
  runtime: Runtime,
): Promise<Removal> {
  const dependents = dependentsOf(copies, all);
  if (dependents.length > 0 && !withDependents) {
    const ids = [...new Set(dependents.map(({ manifest }) => manifest!.id))];
    throw new DguardError('target_refused', `needed by ${ids.join(', ')}: nothing was deleted`, {
      operation: 'delete',
      subject: copies.map(({ manifest, folder }) => manifest?.id ?? folder).join(', '),
      hint: 'delete those first, or all together: --with-dependents',
    });
  }
  const total: { [Key in keyof Removal]: Removal[Key][number][] } = { removed: [], spared: [], left: [] };
  const doomed = [...copies, ...dependents];
  for (const destination of new Set(doomed.map((copy) => copy.destination))) {
    const here = doomed.filter((copy) => copy.destination === destination);
    const { removed, spared, left } = await removeCopies(destination, here, runtime);
    total.removed.push(...removed);
    total.spared.push(...spared);
    total.left.push(...left);
  }
  return total;
}
