import type { Config } from '../../config/types.ts';
import type { Finding } from '../../engines/health.ts';
import { abortError, errorText } from '../../errors.ts';
import { CLOCK_TOLERANCE_MS, doubtClock } from '../../plan/clock.ts';
import { formatDuration } from '../../plan/duration.ts';
import type { Runtime } from '../../runtime.ts';
import type { Catalog, Destination } from '../catalog.ts';
import { isDatedAhead } from '../find.ts';
import { groupOf, isOfGroup, labelsOf, nameIn, scopeOf } from '../groups.ts';
import { historyOf } from '../history.ts';
import { judgeUnfinished } from '../prune/sweep.ts';
import { readCatalog } from '../read-catalog.ts';
import { checkDestination, type DestinationHealth } from './destination.ts';
import { withTimeLimit } from './limit.ts';

export interface DestinationReport {
  readonly findings: readonly Finding[];
  /** Undefined where it could not be listed. */
  readonly catalog?: Catalog;
}

/** Beyond this a clock is worth setting: leases, schedules and expiry are counted by it. */
export const CLOCK_WARNING_MS = 60_000;
/** What a run asks for: the last good backup's size and a tenth (`core/backup/space.ts`). */
const GROWTH = 1.1;
const MIB = 1024 * 1024;

/** Everything about one destination that would make a run to it fail, and what earlier ones left there. */
export async function diagnoseDestination(
  config: Config,
  name: string,
  open: (name: string) => Promise<Destination>,
  limitMs: number,
  runtime: Runtime,
): Promise<DestinationReport> {
  const { type, optional } = config.destinations[name] ?? { type: 'local', optional: false };
  const health = await checkDestination(name, type, optional, open, limitMs, runtime);
  if (health.status === 'unreachable') {
    const { message, hint } = health.error!;
    const severity = optional ? 'warning' : 'problem';
    const text = `it cannot be used: ${message}${hint === undefined ? '' : ` (${hint})`}`;
    return { findings: [{ severity, topic: 'connection', message: text }] };
  }
  const findings = clockFindings(health.clockAheadMs ?? 0);
  let catalog: Catalog;
  try {
    catalog = await withTimeLimit(name, limitMs, runtime, async (limited) =>
      readCatalog(await open(name), limited.signal),
    );
  } catch (error) {
    if (runtime.signal.aborted) throw abortError(runtime.signal);
    const message = `its backups cannot be listed: ${errorText(error)}`;
    return { findings: [...findings, { severity: 'problem', topic: 'connection', message }] };
  }
  return {
    catalog,
    findings: [
      ...findings,
      ...aheadFindings(catalog, runtime),
      ...spaceFindings(config, health, catalog, runtime),
      ...leftoverFindings(catalog, runtime),
    ],
  };
}

function clockFindings(aheadMs: number): Finding[] {
  const offMs = Math.abs(aheadMs);
  if (offMs < CLOCK_WARNING_MS) return [];
  const which = aheadMs > 0 ? 'ahead of' : 'behind';
  return [
    {
      severity: offMs > CLOCK_TOLERANCE_MS ? 'problem' : 'warning',
      topic: 'clock',
      message: `its clock is ${formatDuration(offMs)} ${which} ours; backup and prune refuse beyond 1 h`,
      fix: { by: 'shell', lines: ['timedatectl set-ntp true'] },
    },
  ];
}

/** Backups of a clock that was wrong, or ours is: their jobs neither back up nor prune. */
function aheadFindings({ entries }: Catalog, runtime: Runtime): Finding[] {
  const now = runtime.now();
  const ahead = entries.filter(({ manifest }) => isDatedAhead(manifest, now));
  const newest = ahead[0]?.manifest;
  if (!newest) return [];
  const message = `${doubtClock(now, new Date(newest.created_at))}: ${ahead.length} dated ahead count for nothing, and backup and prune of their jobs refuse; was the clock wrong when they were made, delete them (dguard list, dguard delete ID)`;
  const fix = { by: 'shell', lines: ['timedatectl set-ntp true'] } as const;
  return [{ severity: 'problem', topic: 'clock', subject: newest.id, message, fix }];
}

/** Free space against what the next run of each job needs here, by its last good backups. */
function spaceFindings(
  config: Config,
  { status, freeBytes }: DestinationHealth,
  { destination, entries }: Catalog,
  runtime: Runtime,
): Finding[] {
  if (status === 'full')
    return [{ severity: 'problem', topic: 'space', message: 'it is full', ...prune(destination) }];
  if (freeBytes === undefined) return [];
  const findings: Finding[] = [];
  for (const job of Object.values(config.jobs)) {
    if (!job.destinations.some(({ name }) => name === destination.name)) continue;
    const scope = scopeOf(config, job);
    const names = new Set(
      entries.flatMap(({ manifest }) => (manifest ? (nameIn(scope, labelsOf(manifest)) ?? []) : [])),
    );
    let needed = 0;
    for (const datasource of names) {
      const group = groupOf(config, job, datasource);
      const mine = entries.filter(({ manifest }) => manifest && isOfGroup(manifest, group));
      needed += Math.ceil((historyOf(mine, group, runtime.now()).lastGood?.stored_size_bytes ?? 0) * GROWTH);
    }
    if (needed <= freeBytes) continue;
    const room = job.destinations.find(({ name }) => name === destination.name)?.retention.auto_delete;
    findings.push({
      severity: 'problem',
      topic: 'space',
      subject: job.name,
      message: `${mib(freeBytes)} are free, the next run of ${job.name} needs about ${mib(needed)}${room ? '; auto_delete may make room' : ''}`,
      ...prune(destination),
    });
  }
  return findings;
}

function prune({ name }: Destination): Pick<Finding, 'fix'> {
  return { fix: { by: 'shell', lines: [`dguard prune --destination ${name} --dry-run`] } };
}

/** What runs that never ended have left, and backups that are of no use any more. */
function leftoverFindings({ destination, entries, unfinished }: Catalog, runtime: Runtime): Finding[] {
  const fix = { by: 'shell', lines: [`dguard prune --destination ${destination.name}`] } as const;
  const findings: Finding[] = [];
  for (const orphan of unfinished) {
    const { outcome, reason, bytes } = judgeUnfinished(orphan, runtime);
    if (outcome === 'kept') {
      if (reason === 'its writer runs') continue;
      findings.push({
        severity: 'notice',
        topic: 'leftovers',
        subject: orphan.folder,
        message: `a run that has not ended left ${mib(bytes)}; it stays: ${reason}`,
      });
    } else {
      const message = `a run that never ended left ${mib(bytes)}`;
      findings.push({ severity: 'warning', topic: 'leftovers', subject: orphan.folder, message, fix });
    }
  }
  for (const { folder, state, problems, deleting } of entries) {
    if (deleting) {
      const message = 'its deletion was interrupted, or is going on';
      findings.push({ severity: 'notice', topic: 'leftovers', subject: folder, message, fix });
    } else if (state === 'damaged' || state === 'broken' || state === 'verify failed') {
      findings.push({
        severity: 'warning',
        topic: 'consistency',
        subject: folder,
        message: `this backup is ${state}${problems.length > 0 ? `: ${problems[0]}` : ''}`,
        fix: { by: 'shell', lines: ['dguard verify --level content', `dguard delete ${folder}`] },
      });
    }
  }
  return findings;
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
