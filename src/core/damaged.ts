import { encodePart, momentOf } from '../plan/naming.ts';
import type { CatalogEntry } from './catalog.ts';
import type { JobBackup } from './job-runs.ts';

export interface DamagedBeside {
  /** Why what was chosen may not be the newest, for people. */
  readonly newer: readonly string[];
  /** What may be of the job and of no datasource that was chosen, for people. */
  readonly unknown: readonly string[];
}

/**
 * What a manifest that cannot be read may have held, by where its folder lies: a newer backup of a datasource that was
 * chosen, or one of a datasource that nobody knows of any more. `wanted`: what was chosen is all that is asked for.
 */
export function damagedBeside(
  entries: readonly CatalogEntry[],
  ofJob: readonly JobBackup[],
  chosen: ReadonlyMap<string, CatalogEntry>,
  { job, at, wanted }: { job: string; at: Date | undefined; wanted: boolean },
): DamagedBeside {
  const newer: string[] = [];
  const unknown: string[] = [];
  const ids = new Set(entries.map(({ manifest }) => manifest?.id));
  for (const { manifest, folder, destination, problems } of entries) {
    if (manifest) continue;
    const id = folder.slice(folder.lastIndexOf('/') + 1);
    if (ids.has(id)) continue; // another copy of it can be read
    const moment = momentOf(id);
    if (at && moment && moment > at) continue;
    const names = new Set(
      ofJob
        .filter(
          ({ entry }) => entry.destination === destination && parentOf(entry.folder) === parentOf(folder),
        )
        .map(({ name }) => name),
    );
    const rivals = [...names].flatMap((name) => chosen.get(name) ?? []);
    const why = `${folder}, which cannot be read: ${problems.join('; ')}`;
    if (rivals.length > 0) {
      const isOlder = ({ manifest: rival }: CatalogEntry) => !moment || new Date(rival!.created_at) < moment;
      if (rivals.some(isOlder)) newer.push(why);
    } else if (!wanted && (names.size > 0 || folder.startsWith(`${encodePart(job)}/`))) unknown.push(why);
  }
  return { newer, unknown };
}

function parentOf(folder: string): string {
  return folder.slice(0, folder.lastIndexOf('/') + 1);
}
