import type { CatalogEntry } from '../../core/catalog.ts';
import { pickCopy, readCatalogs } from '../../core/find.ts';
import { recoverCommands } from '../../core/recover.ts';
import { combineExitStatus, DguardError, toDguardError } from '../../errors.ts';
import type { ManifestArtifact } from '../../manifest/types.ts';
import { type Context, openDestinations } from '../context.ts';
import { errorLines, jsonDocument } from '../render/outcome.ts';
import { durationText, plainText, sizeText } from '../render/text.ts';

interface ListOptions {
  readonly destination?: string;
  readonly from?: string;
  readonly datasource?: string;
  readonly type?: string;
  readonly status?: string;
  readonly tag?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: number;
}

export async function listCommand(
  context: Context,
  job: string | undefined,
  options: ListOptions,
): Promise<number> {
  const destinations = await openDestinations(context, options.destination ?? options.from);
  const { entries, errors } = await readCatalogs(destinations, context.runtime.signal);
  const since = instant(options.since);
  const until = instant(options.until);
  const chosen = entries
    .filter(({ manifest, state, folder }) => {
      if (
        job !== undefined &&
        manifest?.job !== job &&
        !(manifest === undefined && folder.startsWith(`${job}/`))
      )
        return false;
      if (options.datasource && manifest?.datasource.name !== options.datasource) return false;
      if (options.type && manifest?.type !== options.type) return false;
      if (options.status && state !== options.status) return false;
      if (options.tag && !manifest?.tags.includes(options.tag)) return false;
      if (since && (!manifest || new Date(manifest.created_at) < since)) return false;
      return !(until && (!manifest || new Date(manifest.created_at) > until));
    })
    .slice(0, options.limit);
  const statuses = errors.map(({ error }) => toDguardError(error, 'storage_failed').exitStatus);
  if (job !== undefined && chosen.length === 0 && errors.length === 0) {
    const configured = await context.config().then(
      (config) => job in config.jobs,
      () => false,
    );
    if (!configured) {
      throw new DguardError(
        'unknown_name',
        `neither the configuration nor any destination knows a job ${job}`,
        {
          operation: 'list',
          subject: job,
          hint: '`dguard list` without a name shows all',
        },
      );
    }
    statuses.push(6);
  }
  const status = combineExitStatus(statuses);
  if (context.options.json) {
    context.print(
      jsonDocument(
        'list',
        status,
        { backups: chosen.map(entryJson) },
        errors.map(({ error }) => error),
      ),
    );
    return status;
  }
  for (const { error } of errors) context.note(errorLines(error, context.options.verbose === true));
  for (const entry of chosen)
    for (const name of entry.foreign)
      context.note(`warning: ${entry.folder}/${plainText(name)} is no part of a backup`);
  if (chosen.length === 0) context.note('no backups');
  else await printTable(context, chosen);
  return status;
}

async function printTable(context: Context, entries: readonly CatalogEntry[]): Promise<void> {
  const { default: Table } = await import('cli-table3');
  const table = new Table({
    head: ['created (UTC)', 'job', 'datasource', 'status', 'size', 'stored', 'verified', 'at', 'id'],
    style: { head: [], border: [], compact: true },
  });
  for (const { manifest, state, destination, folder, verified } of entries) {
    table.push([
      manifest ? manifest.created_at.slice(0, 19).replace('T', ' ') : '?',
      plainText(manifest?.job ?? '?'),
      plainText(manifest?.datasource.name ?? '?'),
      state,
      manifest ? sizeText(manifest.size_bytes) : '?',
      manifest ? sizeText(manifest.stored_size_bytes) : '?',
      verified ? `${verified.level} ${verified.result}` : '-',
      destination.name,
      manifest?.id ?? folder,
    ]);
  }
  context.print(table.toString());
}

export async function showCommand(
  context: Context,
  id: string,
  options: { from?: string; destination?: string },
): Promise<number> {
  const destinations = await openDestinations(context, options.from ?? options.destination);
  const { entries } = await readCatalogs(destinations, context.runtime.signal);
  const copy = pickCopy(entries, id);
  if (context.options.json) {
    context.print(jsonDocument('show', 0, { backup: entryJson(copy) }, []));
    return 0;
  }
  const { manifest } = copy;
  if (!manifest) throw copy.error;
  const lines = [
    manifest.id,
    `  job ${manifest.job}, datasource ${manifest.datasource.name} (${manifest.datasource.type}), ${manifest.type}, ${copy.state}`,
    `  of ${manifest.created_at}, taken in ${durationText(manifest.duration_ms)} on ${manifest.host}`,
    `  ${sizeText(manifest.size_bytes)}, stored ${sizeText(manifest.stored_size_bytes)}, ${manifest.compression.codec}`,
    ...copy.problems.map((problem) => `  PROBLEM: ${problem}`),
    ...(manifest.error ? [`  FAILED: ${manifest.error.message}`] : []),
    ...(manifest.facts?.warnings?.first ?? []).map((warning) => `  warning: ${warning}`),
    '  copies:',
    ...entries
      .filter((entry) => entry.manifest?.id === manifest.id)
      .map(
        (entry) =>
          `    ${entry.destination.name}: ${entry.folder} (${entry.state}${entry.verified ? `, ${entry.verified.level} ${entry.verified.result} ${entry.verified.checked_at}` : ''})`,
      ),
    '  artifacts:',
    ...(Array.isArray(manifest.artifacts)
      ? (manifest.artifacts as ManifestArtifact[]).map(
          (a) => `    ${a.name} ${sizeText(a.stored_size)} (${sizeText(a.size)})`,
        )
      : ['    listed in the index']),
    '  without dguard, in its folder:',
    ...recoverCommands(manifest.artifacts, manifest.compression.codec).map((command) => `    ${command}`),
  ];
  context.print(lines.map(plainText).join('\n'));
  return 0;
}

/** A manifest as it stands, and what is computed under a key of its own. */
function entryJson(entry: CatalogEntry): object {
  const computed = {
    destination: entry.destination.name,
    folder: entry.folder,
    state: entry.state,
    good: entry.good,
    problems: entry.problems,
    foreign: entry.foreign,
    verified: entry.verified ?? null,
  };
  return { ...(entry.manifest ?? {}), computed };
}

function instant(text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) {
    throw new DguardError('usage', `${text} is no time`, {
      hint: 'write 2026-01-31 or 2026-01-31T23:00:00Z',
    });
  }
  return at;
}
