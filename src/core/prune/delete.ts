import { DguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { CatalogEntry } from '../catalog.ts';
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
