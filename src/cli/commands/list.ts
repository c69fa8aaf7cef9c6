import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import { findCopy, isDatedAhead, listingFailure, readCatalogs } from '../../core/find.ts';
import { labelsOf, nameIn } from '../../core/groups.ts';
import { scopeIn } from '../../core/job-runs.ts';
import { loadCommands, recoverCommands } from '../../core/recover.ts';
import type { VerifyResult } from '../../core/verified.ts';
import { combineExitStatus, DguardError } from '../../errors.ts';
import type { Manifest, ManifestArtifact } from '../../manifest/types.ts';
import { type Context, openDestinations } from '../context.ts';
import { jsonDocument, jsonPieces } from '../render/outcome.ts';
import { tableText } from '../render/table.ts';
import { durationText, plainText, sizeText } from '../render/text.ts';
import { parseMoment } from '../time.ts';
import { unknownJob } from './job-run.ts';

interface ListOptions {
  readonly destination?: string;
  readonly from?: string;
  readonly datasource?: string;
  readonly type?: string;
  readonly status?: string;
  readonly tag?: string;
  readonly since?: string;
  readonly until?: string;
  readonly prefix?: string;
  readonly limit?: number;
}

export async function listCommand(
  context: Context,
  job: string | undefined,
  options: ListOptions,
): Promise<number> {
  const config = job === undefined ? undefined : await context.configOrNone(true);
  const isWanted = filterOf(context, job, options, config);
  const destinations = await openDestinations(context, options.destination ?? options.from, job);
  const { entries, errors, gaps } = await readCatalogs(destinations, context.runtime.signal);
  const chosen = entries.filter(isWanted).slice(0, options.limit);
  const failures = [...errors, ...gaps].map(listingFailure);
  // At one destination among several that somebody has none is no mistake.
  if (chosen.length === 0 && failures.length === 0 && (options.destination ?? options.from) === undefined)
    await requireDatasource(context, options, entries);
  if (job !== undefined && chosen.length === 0 && failures.length === 0) {
    const known =
      entries.some(({ manifest }) => manifest?.job === job) ||
      (await context.config().then(
        (config) => Object.hasOwn(config.jobs, job),
        () => false,
      ));
    if (!known) throw unknownJob(job, 'list');
    failures.push(
      new DguardError('nothing_there', `there is no such backup of job ${job}`, {
        operation: 'list',
        subject: job,
        hint: `dguard backup ${job} makes one; without options list shows all`,
      }),
    );
  }
  const status = combineExitStatus(failures.map(({ exitStatus }) => exitStatus));
  for (const error of failures) context.report(error);
  if (context.options.json) {
    context.print(jsonPieces('list', status, { backups: mapped(chosen, entryJson) }, failures));
    return status;
  }
  for (const entry of chosen)
    for (const name of entry.foreign) context.warn('is no part of a backup', `${entry.folder}/${name}`);
  if (chosen.length > 0) await printTable(context, chosen);
  else if (failures.length === 0)
    context.note(`no backups at ${destinations.map(({ name }) => plainText(name)).join(', ')}`);
  return status;
}

/** That `--datasource` names one that is configured, or of which there is a backup. Errors: unknown_name. */
async function requireDatasource(
  context: Context,
  { datasource }: ListOptions,
  entries: readonly CatalogEntry[],
): Promise<void> {
  const isOf = ({ manifest }: CatalogEntry) => `${manifest?.datasource.name}.`.startsWith(`${datasource}.`);
  if (datasource === undefined || entries.some(isOf)) return;
  const configured = await context.config().then(
    (config) => Object.keys(config.datasources),
    () => [],
  );
  // One of several databases is called after the datasource that is all of them.
  if (configured.some((name) => name === datasource || datasource.startsWith(`${name}.`))) return;
  throw new DguardError('unknown_name', `no backup and no datasource is called ${datasource}`, {
    operation: 'list',
    subject: datasource,
    hint: '`dguard list` without --datasource shows all',
  });
}

function filterOf(
  context: Context,
  job: string | undefined,
  options: ListOptions,
  config: Config | undefined,
) {
  const now = context.runtime.now();
  const since = options.since === undefined ? undefined : parseMoment(options.since, 'lower', '--since', now);
  const until = options.until === undefined ? undefined : parseMoment(options.until, 'upper', '--until', now);
  const prefix = options.prefix?.replace(/^\.?\/+/, '');
  const status = options.status?.replace('-', ' ');
  const scope = job === undefined ? undefined : scopeIn(config, job);
  const isOf = (manifest: Manifest, name: string) =>
    manifest.job === name || (scope !== undefined && nameIn(scope, labelsOf(manifest)) !== undefined);
  return ({ manifest, state, good, folder }: CatalogEntry): boolean => {
    // Of a damaged one only its folder is known.
    if (job !== undefined && !(manifest ? isOf(manifest, job) : folder.startsWith(`${job}/`))) return false;
    if (options.datasource && manifest?.datasource.name !== options.datasource) return false;
    if (options.type && manifest?.type !== options.type) return false;
    if (status && (status === 'good' ? !good : state !== status)) return false;
    if (options.tag && !manifest?.tags.includes(options.tag)) return false;
    if (prefix && !`${folder}/`.startsWith(prefix)) return false;
    if (since && !(manifest && new Date(manifest.created_at) >= since)) return false;
    return !until || (manifest !== undefined && new Date(manifest.created_at) <= until);
  };
}

async function printTable(context: Context, entries: readonly CatalogEntry[]): Promise<void> {
  // Installations that share a destination are told apart; most have it for themselves.
  const shared = entries.some(({ manifest }) => manifest?.namespace !== undefined);
  const of = shared ? ['namespace', 'job'] : ['job'];
  const head = ['created (UTC)', ...of, 'datasource', 'status', 'size', 'stored', 'verified', 'at', 'id'];
  const now = context.runtime.now();
  const rows = entries.map(({ manifest, state, destination, folder, verified, proof, accepted, pinned }) => [
    manifest ? manifest.created_at.slice(0, 19).replace('T', ' ') : '?',
    ...(shared ? [plainText(manifest === undefined ? '?' : (manifest.namespace ?? '-'))] : []),
    plainText(manifest?.job ?? '?'),
    plainText(manifest?.datasource.name ?? '?'),
    `${stateText({ state, accepted, pinned })}${manifest?.selection ? ', selection' : ''}${isDatedAhead(manifest, now) ? ', dated ahead' : ''}`,
    manifest ? sizeText(manifest.size_bytes) : '?',
    manifest ? sizeText(manifest.stored_size_bytes) : '?',
    resultText(proof ?? verified),
    plainText(destination.name),
    plainText(manifest?.id ?? folder),
  ]);
  context.print(await tableText(head, rows));
}

function resultText(result: VerifyResult | undefined): string {
  return result ? `${plainText(result.level)} ${result.result}` : '-';
}

function stateText({ state, accepted, pinned }: Pick<CatalogEntry, 'state' | 'accepted' | 'pinned'>): string {
  return `${state}${accepted ? ' (accepted)' : ''}${pinned ? ', pinned' : ''}`;
}

export async function showCommand(
  context: Context,
  id: string,
  options: { from?: string; destination?: string },
): Promise<number> {
  const destinations = await openDestinations(context, options.from ?? options.destination);
  const catalogs = await readCatalogs(destinations, context.runtime.signal);
  const { entries } = catalogs;
  const copy = findCopy(catalogs, id);
  if (context.options.json) {
    context.print(jsonDocument('show', 0, { backup: entryJson(copy) }, []));
    return 0;
  }
  const { manifest } = copy;
  if (!manifest) throw copy.error;
  const lines = [
    manifest.id,
    `  ${manifest.namespace === undefined ? '' : `namespace ${manifest.namespace}, `}job ${manifest.job}, datasource ${manifest.datasource.name} (${manifest.datasource.type}), ${manifest.type}, ${stateText(copy)}`,
    `  of ${manifest.created_at}, taken in ${durationText(manifest.duration_ms)} on ${manifest.host}`,
    `  ${sizeText(manifest.size_bytes)}, stored ${sizeText(manifest.stored_size_bytes)}, ${manifest.compression.codec}`,
    ...selectionText(manifest),
    ...(manifest.doubts ?? []).map((doubt) => `  SUSPECT: ${doubt}`),
    ...copy.problems.map((problem) => `  PROBLEM: ${problem}`),
    ...(manifest.error ? [`  FAILED: ${manifest.error.message}`] : []),
    ...(manifest.facts?.warnings?.first ?? []).map((warning) => `  warning: ${warning}`),
    '  copies:',
    ...entries
      .filter((entry) => entry.manifest?.id === manifest.id)
      .map(
        (entry) =>
          `    ${entry.destination.name}: ${entry.folder} (${stateText(entry)}${entry.verified ? `, ${entry.verified.level} ${entry.verified.result} ${entry.verified.checked_at}` : ''})`,
      ),
    '  artifacts:',
    ...(Array.isArray(manifest.artifacts)
      ? (manifest.artifacts as ManifestArtifact[]).map(
          (a) => `    ${a.name} ${sizeText(a.stored_size)} (${sizeText(a.size)})`,
        )
      : ['    listed in the index']),
    ...(manifest.status === 'failed' ? [] : ['  without dguard, in its folder:']),
    ...byHand(manifest).map((command) => `    ${command}`),
    ...loadCommands(manifest).map((command) => `    then load it: ${command}`),
  ];
  context.print(lines.map(plainText).join('\n'));
  return 0;
}

/** The commands that restore it without dguard; a failed one holds nothing. */
function byHand({ status, artifacts, compression }: Manifest): string[] {
  return status === 'failed' ? [] : recoverCommands(artifacts, compression.codec);
}

/** What was picked at the command line, for which a backup is outside of its job's history. */
function selectionText({ selection }: Manifest): string[] {
  if (!selection) return [];
  const { only, exclude } = selection;
  const parts = [
    ...(only.length > 0 ? [`only ${only.join(', ')}`] : []),
    ...(exclude.length > 0 ? [`without ${exclude.join(', ')}`] : []),
  ];
  return [`  a selection, restored by its id alone: ${parts.join('; ')}`];
}

/** One at a time, as they are asked for. */
function* mapped<T, U>(items: readonly T[], map: (item: T) => U): Generator<U> {
  for (const item of items) yield map(item);
}

/**
 * A manifest as it stands, and what is computed under a key of its own. Only the commands for recovery are always this
 * program's: those that older manifests hold unpack into the backup's own folder.
 */
function entryJson(entry: CatalogEntry): object {
  const { manifest } = entry;
  const computed = {
    destination: entry.destination.name,
    folder: entry.folder,
    state: entry.state,
    good: entry.good,
    accepted: entry.accepted,
    pinned: entry.pinned,
    problems: entry.problems,
    foreign: entry.foreign,
    deleting: entry.deleting,
    verified: entry.verified ?? null,
    proof: entry.proof ?? null,
  };
  return { ...manifest, ...(manifest && { recover: byHand(manifest) }), computed };
}
