import type { Config } from '../../config/types.ts';
import { type StatusRow, statusOf } from '../../core/status.ts';
import { listUndo } from '../../core/target.ts';
import { combineExitStatus, DguardError } from '../../errors.ts';
import { formatDuration } from '../../plan/duration.ts';
import { type Context, openDestination } from '../context.ts';
import { chooseJobs, waitOf } from '../jobs.ts';
import { jsonDocument } from '../render/outcome.ts';
import { prometheusText } from '../render/prometheus.ts';
import { tableText } from '../render/table.ts';
import { plainText, sizeText } from '../render/text.ts';

interface Options {
  readonly maxAge?: string;
  readonly prometheus?: boolean;
}

export async function statusCommand(
  context: Context,
  names: readonly string[],
  options: Options,
): Promise<number> {
  if (options.prometheus && context.options.json) {
    throw new DguardError('usage', '--prometheus and --json are two forms of one output', {
      operation: 'status',
      hint: 'give one of them',
    });
  }
  const config = await context.config();
  const jobs = chooseJobs(config, names, names.length === 0, 'status').map(({ name }) => name);
  const maxAgeMs = options.maxAge === undefined ? undefined : waitOf(options.maxAge, '--max-age');
  const open = (name: string) => openDestination(context, name);
  const rows = await statusOf(config, jobs, maxAgeMs, open, context.runtime);
  const status = combineExitStatus(rows.map((row) => exitOf(row, maxAgeMs !== undefined)));
  // A destination that cannot be read is one failure, however many sources have rows there.
  const failures = new Map<string, DguardError>();
  for (const row of rows) {
    const error =
      row.error ?? (maxAgeMs === undefined || !isAlarm(row) ? undefined : staleError(row, maxAgeMs));
    if (error) failures.set(`${error.subject}: ${error.message}`, error);
  }
  for (const error of failures.values()) context.report(error);
  const undo = options.prometheus ? [] : await undoCopies(context, config, jobs);
  if (context.options.json) {
    context.print(jsonDocument('status', status, { rows: rows.map(rowJson), undo }, [...failures.values()]));
  } else if (options.prometheus) {
    context.print(prometheusText(rows));
  } else {
    await printTable(context, rows);
    for (const row of rows) printTroubles(context, row);
    for (const { datasource, name, created_at } of undo) {
      context.print(plainText(`${datasource}: what a restore of ${created_at} replaced is kept: ${name}`));
    }
  }
  return status;
}

/** What restores have kept at this host's datasources; a server that cannot be asked has its own command. */
async function undoCopies(context: Context, config: Config, jobs: readonly string[]) {
  const found: { datasource: string; name: string; backup_id: string; created_at: string }[] = [];
  for (const name of new Set(jobs.flatMap((job) => config.jobs[job]!.datasources))) {
    const datasource = config.datasources[name]!;
    const copies = await listUndo({ type: datasource.type, datasource }, context.runtime).catch(() => []);
    for (const { name: copy, backupId, createdAt } of copies) {
      found.push({ datasource: name, name: copy, backup_id: backupId, created_at: createdAt.toISOString() });
    }
  }
  return found;
}

function exitOf(row: StatusRow, ageAsked: boolean): number {
  if (row.state === 'unreachable') return row.error?.exitStatus ?? 1;
  return ageAsked && isAlarm(row) ? 9 : 0;
}

function isAlarm({ state }: StatusRow): boolean {
  return state === 'stale' || state === 'none';
}

function staleError(row: StatusRow, maxAgeMs: number): DguardError {
  const { job, datasource, destination, lastGood, destinationEmpty } = row;
  const found = lastGood
    ? `the last good backup is ${formatDuration(lastGood.ageMs)} old, more than ${formatDuration(maxAgeMs)}`
    : 'there is no good backup';
  return new DguardError('stale', found, {
    operation: 'status',
    subject: `${job}/${datasource} at ${destination}`,
    hint: destinationEmpty
      ? `${destination} holds nothing at all: if it should, mount its disk (must_be_mounted: true tells it from an empty one); otherwise: dguard backup ${job}`
      : `see whether its schedule runs, or make one now: dguard backup ${job}`,
  });
}

async function printTable(context: Context, rows: readonly StatusRow[]): Promise<void> {
  const head = [
    'job',
    'datasource',
    'destination',
    'state',
    'last good',
    'last proof',
    'size',
    'runs ok',
    'backups',
    'used',
  ];
  const lines = rows.map((row) => {
    const trend =
      row.trendPercent === undefined ? '' : ` (${row.trendPercent >= 0 ? '+' : ''}${row.trendPercent} %)`;
    return [
      plainText(row.job),
      plainText(row.datasource),
      plainText(row.destination),
      row.state,
      row.lastGood ? `${formatDuration(Math.max(0, row.lastGood.ageMs))} ago` : 'never',
      row.lastProof ? plainText(`${row.lastProof.level}, ${row.lastProof.checkedAt.slice(0, 10)}`) : 'never',
      row.sizeBytes === undefined ? '-' : `${sizeText(row.sizeBytes)}${trend}`,
      row.successPercent === undefined ? '-' : `${row.successPercent} %`,
      String(row.backups),
      sizeText(row.usedBytes),
    ];
  });
  context.print(await tableText(head, lines));
}

function printTroubles(context: Context, row: StatusRow): void {
  const where = `${row.job}/${row.datasource} at ${row.destination}`;
  for (const { id, state } of row.troubled) {
    const next = state === 'suspect' ? ` (why: dguard show ${id}; if it is right: dguard accept ${id})` : '';
    context.print(plainText(`${where}: ${id} is ${state}${next}`));
  }
  if (row.missing.length > 0) {
    context.print(plainText(`${where}: ${row.missing.length} copies are missing: ${row.missing.join(', ')}`));
  }
  if (row.unfinished > 0)
    context.print(`${where}: ${row.unfinished} runs never ended (dguard prune sweeps them)`);
  if (row.datedAhead > 0)
    context.print(
      `${where}: ${row.datedAhead} backups are dated ahead of this host's clock: they count for nothing, and backup and prune refuse (dguard list; dguard doctor)`,
    );
  if (row.mixedSources)
    context.print(`${where}: two sources write under one name; nothing is pruned until that is settled`);
}

function rowJson(row: StatusRow): object {
  return {
    job: row.job,
    datasource: row.datasource,
    destination: row.destination,
    state: row.state,
    last_good: row.lastGood
      ? { id: row.lastGood.id, created_at: row.lastGood.createdAt.toISOString(), age_ms: row.lastGood.ageMs }
      : null,
    last_proof: row.lastProof
      ? { id: row.lastProof.id, level: row.lastProof.level, checked_at: row.lastProof.checkedAt }
      : null,
    stored_size_bytes: row.sizeBytes ?? null,
    trend_percent: row.trendPercent ?? null,
    success_percent: row.successPercent ?? null,
    backups: row.backups,
    used_bytes: row.usedBytes,
    missing: row.missing,
    troubled: row.troubled,
    unfinished: row.unfinished,
    dated_ahead: row.datedAhead,
    mixed_sources: row.mixedSources,
  };
}
