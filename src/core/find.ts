import type { StoredBackup } from '../archive/objects.ts';
import type { DatasourceConfig } from '../config/types/datasources.ts';
import type { JobConfig } from '../config/types/jobs.ts';
import type { Config } from '../config/types.ts';
import { DguardError, EXIT_STATUS, throwIfAborted, toDguardError } from '../errors.ts';
import type { Manifest } from '../manifest/types.ts';
import { isFromTheFuture } from '../plan/clock.ts';
import { isOrigin } from '../plan/naming.ts';
import { type Catalog, type CatalogEntry, type Destination, newestFirst } from './catalog.ts';
import { labelsOf, nameIn, scopeOf } from './groups.ts';
import { readCatalogWithGaps } from './read-catalog.ts';

/** A destination that could not be listed, or not all of it be read. */
export interface ListingError {
  readonly destination: string;
  readonly error: unknown;
  readonly optional: boolean;
}

/** The error that it is: of one that may be offline, `offline` and no more. */
export function listingFailure({ destination, error, optional }: ListingError): DguardError {
  const known = toDguardError(error, 'storage_failed', { operation: 'list', subject: destination });
  if (!optional || known.exitStatus !== EXIT_STATUS.storage_failed) return known;
  return new DguardError('offline', known.message, {
    operation: 'list',
    subject: destination,
    hint: 'it is optional: what the other destinations hold is all there',
    cause: known,
  });
}

/** What is known of several destinations. */
export interface Catalogs {
  readonly catalogs: readonly Catalog[];
  /** Of all of them, newest first. */
  readonly entries: readonly CatalogEntry[];
  /** Of destinations that could not be listed: none of their backups is among the entries. */
  readonly errors: readonly ListingError[];
  /** Of backups of which something could not be read; of many at one destination a few, and how many more. */
  readonly gaps: readonly ListingError[];
}

/**
 * The catalogs of several destinations; one that cannot be listed is reported, the others serve. Errors: the abort's alone.
 */
export async function readCatalogs(
  destinations: readonly Destination[],
  signal: AbortSignal,
): Promise<Catalogs> {
  const catalogs: Catalog[] = [];
  const errors: ListingError[] = [];
  for (const destination of destinations) {
    try {
      catalogs.push(await readCatalogWithGaps(destination, signal));
    } catch (error) {
      throwIfAborted(signal);
      errors.push({ destination: destination.name, error, optional: destination.optional === true });
    }
  }
  const entries = catalogs.flatMap((catalog) => catalog.entries).sort(newestFirst);
  return { catalogs, entries, errors, gaps: catalogs.flatMap(gapsOf) };
}

const GAPS_NAMED = 3;

/** What of a destination could not be read: its first few backups by name, of the others how many. */
function gapsOf({ destination: { name, optional }, entries }: Catalog): ListingError[] {
  const unread = entries.flatMap((entry) => entry.unread ?? []);
  const more = unread.length - GAPS_NAMED;
  const errors: DguardError[] = unread.slice(0, GAPS_NAMED);
  if (more > 0) {
    const message = `${more} more backups of it could not be read, or not all of them`;
    errors.push(new DguardError('storage_failed', message, { operation: 'read manifests', subject: name }));
  }
  return errors.map((error) => ({ destination: name, error, optional: optional === true }));
}

/** Throws where a backup of that name, which was not found, may be among what could not be read. */
export function refuseUnlisted({ errors, gaps }: Catalogs, name: string, operation: string): void {
  const [first] = [...errors, ...gaps];
  if (!first) return;
  const { destination, error } = first;
  const { code, message, hint } = toDguardError(error, 'storage_failed', { operation });
  throw new DguardError(code, `${name} is not among the backups that could be read: ${message}`, {
    operation,
    subject: destination,
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** All copies of the backup of that id or origin; of a damaged one its folder's name stands for it. */
export function copiesOf(entries: readonly CatalogEntry[], name: string): CatalogEntry[] {
  return entries.filter(({ manifest, folder }) =>
    manifest
      ? manifest.id === name || manifest.id.endsWith(`-${name}`)
      : folder === name || folder.endsWith(`/${name}`) || (isOrigin(name) && folder.endsWith(`-${name}`)),
  );
}

/** As `pickCopy`; where the backup may be among what could not be read, that is the error. */
export function findCopy(catalogs: Catalogs, name: string): CatalogEntry {
  if (copiesOf(catalogs.entries, name).length === 0) refuseUnlisted(catalogs, name, 'find backup');
  return pickCopy(catalogs.entries, name);
}

/** One copy to read of the backup of that id: a good one first. Errors: unknown_name. */
export function pickCopy(entries: readonly CatalogEntry[], name: string): CatalogEntry {
  const copies = copiesOf(entries, name);
  const copy = copies.find(({ good }) => good) ?? copies.find(({ manifest }) => manifest) ?? copies[0];
  if (copy) return copy;
  throw unknownBackup(entries, name, 'find backup');
}

/** That no backup is of that id. Where a job or a datasource is called so, it says what to name instead. */
export function unknownBackup(
  entries: readonly CatalogEntry[],
  name: string,
  operation: string,
): DguardError {
  const details = { operation, subject: name };
  if (entries.some(({ manifest }) => manifest?.job === name)) {
    const hint = `\`dguard list ${name}\` shows the ids of its backups`;
    return new DguardError('unknown_name', `${name} is a job, and one backup is wanted: its id`, {
      ...details,
      hint,
    });
  }
  const ofDatasource = entries.find(({ manifest }) => manifest?.datasource.name === name)?.manifest;
  if (ofDatasource) {
    const hint = `name its job too: ${ofDatasource.job} --datasource ${name}; or an id: \`dguard list --datasource ${name}\``;
    return new DguardError('unknown_name', `${name} is a datasource, neither a job nor the id of a backup`, {
      ...details,
      hint,
    });
  }
  return new DguardError('unknown_name', `no backup and no job is called ${name}`, {
    ...details,
    hint: '`dguard list` shows what there is',
  });
}

/** One of a clock that was wrong, or ours is: it counts for nothing. */
export function isDatedAhead(manifest: Manifest | undefined, now: Date): boolean {
  return manifest !== undefined && isFromTheFuture(new Date(manifest.created_at), now);
}

/** A safety backup, or one of what was picked at the command line: restored only by its id. */
export function isOutsideHistory(manifest: Manifest): boolean {
  return manifest.tags.includes('safety') || manifest.selection !== undefined;
}

/** What a backup is of today: `formerly` may say that its job and its datasource are called otherwise now. */
export function presentNames(
  config: Config | undefined,
  manifest: Manifest,
): { namespace: string; job: string; datasource: string } {
  const labels = labelsOf(manifest);
  for (const job of Object.values(config?.jobs ?? {})) {
    const scope = scopeOf(config!, job);
    const datasource = nameIn(scope, labels);
    if (datasource !== undefined) return { namespace: scope.namespace, job: job.name, datasource };
  }
  return labels;
}

/** The configured datasource that a backup is of: by its name, or for one of several databases by that of all. */
export function datasourceOf(config: Config | undefined, manifest: Manifest): DatasourceConfig | undefined {
  const { datasource: name } = presentNames(config, manifest);
  const suffix = `.${manifest.database ?? ''}`;
  const found =
    config?.datasources[name] ??
    (name.endsWith(suffix) ? config?.datasources[name.slice(0, -suffix.length)] : undefined);
  return found?.type === manifest.datasource.type ? found : undefined;
}

/** A datasource that is one database: what is restored to it by name goes there, whatever it was called before. */
export function isOneDatabase(datasource: DatasourceConfig | undefined): boolean {
  return (
    datasource !== undefined &&
    'all_databases' in datasource &&
    !datasource.all_databases &&
    datasource.database.length < 2
  );
}

/** Where it is configured here. */
export function jobOf(config: Config | undefined, name: string): JobConfig | undefined {
  return config !== undefined && Object.hasOwn(config.jobs, name) ? config.jobs[name] : undefined;
}

/** How a chain finds the backups that it refers to: at the same destination. */
export function resolver(entries: readonly CatalogEntry[], copy: CatalogEntry) {
  return async (id: string): Promise<StoredBackup | undefined> => {
    const found = entries.find(
      (entry) => entry.destination === copy.destination && entry.manifest?.id === id,
    );
    return found ? asStored(found) : undefined;
  };
}

/** A catalog entry as the archive reads it. Errors: its own, where it is damaged; nothing_there for a failed run. */
export function asStored(entry: CatalogEntry): StoredBackup {
  if (!entry.manifest)
    throw entry.error ?? new DguardError('corrupt', 'manifest is damaged', { subject: entry.folder });
  if (entry.manifest.status === 'failed') {
    throw new DguardError('nothing_there', `${entry.manifest.id} is a failed run: it holds no data`, {
      operation: 'read backup',
      subject: entry.manifest.id,
      hint: '`dguard list` shows the good ones',
    });
  }
  return { storage: entry.destination.storage, folder: entry.folder, manifest: entry.manifest };
}
