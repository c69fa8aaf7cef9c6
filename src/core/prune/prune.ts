import type { RetentionPolicy } from '../../config/types/jobs.ts';
import { DguardError } from '../../errors.ts';
import { CLOCK_HINT, doubtClock } from '../../plan/clock.ts';
import { planRetention } from '../../plan/retention.ts';
import type { PolicyBackup, RetentionDecision } from '../../plan/retention-types.ts';
import type { Runtime } from '../../runtime.ts';
import type { Catalog, CatalogEntry, Destination } from '../catalog.ts';
import { isOutsideHistory } from '../find.ts';
import { type Group, isOfGroup, nameIn } from '../groups.ts';
import { historyOf } from '../history.ts';
import { PROBE_FOLDER } from '../lease.ts';
import { readCatalog } from '../read-catalog.ts';
import { removeCopies } from './remove.ts';
import { GRACE_MS, judgeUnfinished, type Sweep, sweepUnfinished } from './sweep.ts';

export interface PruneRequest {
  readonly destination: Destination;
  readonly group: Group;
  readonly policy: RetentionPolicy;
  readonly timeZone: string;
  /** What this host is called in manifests. */
  readonly hostName: string;
  /** The job says that its identities are one source. */
  readonly sameSource: boolean;
  readonly ignoreClock: boolean;
  readonly dryRun: boolean;
}

export interface PruneOutcome {
  readonly destination: string;
  readonly job: string;
  readonly datasource: string;
  /** What becomes of each backup, newest first; where it was spared at the last moment, the reason says so. */
  readonly plan: readonly RetentionDecision[];
  /** Ids that are gone (or would be, on a dry run). */
  readonly removed: readonly string[];
  readonly freedBytes: number;
  readonly swept: readonly Sweep[];
  /** What a person should read: caps that are not met, what was left alone, why nothing is deleted. */
  readonly warnings: readonly string[];
}

/**
 * Applies a retention policy to one group at one destination, and sweeps what its interrupted runs left.
 * Fails closed: what cannot be listed, read or understood keeps all that it might need. The caller holds the
 * group's lock. Errors: those of the storage; `internal` for a wrong clock; `config_invalid` for two sources
 * under one name.
 */
export async function pruneGroup(request: PruneRequest, runtime: Runtime): Promise<PruneOutcome> {
  const { destination, group, policy, timeZone } = request;
  const subject = `${destination.name}:${group.job}/${group.datasource}`;
  const catalog = await readCatalog(destination, runtime.signal);
  const ofGroup = uniqueById(
    catalog.entries.filter(({ manifest }) => manifest && isOfGroup(manifest, group)),
  );
  refuse(request, catalog, runtime, subject);

  const { decisions, unmet } = planRetention(
    policy,
    ofGroup.map((entry) => policyBackup(entry, request.sameSource)),
    runtime.now(),
    timeZone,
  );
  const warnings = [...unmet];
  const unknown = unreadable(catalog, group);
  if (unknown.length > 0) {
    warnings.push(
      `nothing but records of failed runs is removed: ${unknown.join(', ')} cannot be read, and what they need is not known (dguard verify, then delete by name)`,
    );
  }
  const byId = new Map(ofGroup.map((entry) => [entry.manifest!.id, entry]));
  const victims = decisions
    .filter(({ keep }) => !keep)
    .map(({ id }) => byId.get(id)!)
    .filter(({ manifest }) => unknown.length === 0 || manifest!.status === 'failed');
  let plan = decisions.map((decision) =>
    decision.keep || victims.some(({ manifest }) => manifest!.id === decision.id)
      ? decision
      : { ...decision, keep: true, reasons: ['something at this destination cannot be read'] },
  );
  // What a check that was killed has left is of no group: whoever comes first sweeps it.
  const orphans = catalog.unfinished.filter(
    ({ lease, folder }) => lease && (nameIn(group, lease) === group.datasource || isProbe(folder, lease)),
  );
  if (request.dryRun) {
    return outcome(
      request,
      plan,
      victims,
      orphans.map((orphan) => judgeUnfinished(orphan, runtime)),
      warnings,
    );
  }
  const { removed, spared, left } =
    victims.length === 0
      ? { removed: [], spared: [], left: [] }
      : await removeCopies(destination, victims, runtime);
  for (const { entry, reason } of spared) {
    plan = plan.map((each) =>
      each.id === entry.manifest!.id ? { ...each, keep: true, reasons: [...each.reasons, reason] } : each,
    );
  }
  const why = spared[0]?.reason;
  if (why !== undefined) {
    warnings.push(
      `${spared.length} of those that the policy removes stay for now: ${why} (the next prune looks again)`,
    );
  }
  for (const key of left) warnings.push(`${key} is not dguard's and was left alone`);
  const swept: Sweep[] = [];
  for (const orphan of orphans) swept.push(await sweepUnfinished(orphan, runtime));
  const { storage } = destination;
  const temporary = await storage.sweepLeftovers?.(new Date(runtime.now().getTime() - GRACE_MS), {
    signal: runtime.signal,
  });
  if (temporary && temporary.count > 0) {
    const reason = `${temporary.count} unfinished files of puts that were killed`;
    swept.push({ folder: '', outcome: 'swept', reason, bytes: temporary.bytes });
  }
  return outcome(request, plan, removed, swept, warnings);
}

function uniqueById(entries: readonly CatalogEntry[]): CatalogEntry[] {
  return [...new Map(entries.map((entry) => [entry.manifest!.id, entry])).values()];
}

function refuse(request: PruneRequest, catalog: Catalog, runtime: Runtime, subject: string): void {
  const { group } = request;
  const history = historyOf(catalog.entries, group, runtime.now(), request.hostName);
  if (history.identity === 'mixed' && !request.sameSource) {
    throw new DguardError(
      'config_invalid',
      'two sources write under one name, taking turns: nothing is pruned',
      {
        operation: 'prune',
        subject,
        hint: 'give them namespaces of their own (defaults.namespace), or say same_source: true in the job',
      },
    );
  }
  const newest = history.manifests[0]?.created_at;
  const doubt = doubtClock(runtime.now(), newest === undefined ? undefined : new Date(newest));
  if (doubt !== undefined && !request.ignoreClock) {
    throw new DguardError('internal', `${doubt}: nothing is pruned`, {
      operation: 'prune',
      subject,
      hint: CLOCK_HINT,
    });
  }
}

/** A backup as retention sees it; its manifest must be there. */
export function policyBackup(entry: CatalogEntry, sameSource: boolean): PolicyBackup {
  const manifest = entry.manifest!;
  return {
    id: manifest.id,
    createdAt: new Date(manifest.created_at),
    state: entry.state,
    // What was picked at the command line is of no bucket: it stays, as a snapshot does.
    type: isOutsideHistory(manifest) ? 'snapshot' : manifest.type,
    good: entry.good,
    pinned: entry.pinned,
    expires: manifest.expires === undefined ? undefined : new Date(manifest.expires),
    tags: manifest.tags,
    source: sameSource ? undefined : manifest.source_identity,
    references: manifest.references.map(({ id }) => id),
    sizeBytes: entry.objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  };
}

/**
 * Folders whose manifest cannot be read and which may be of this group: all but those that lie where only
 * other groups' backups lie.
 */
function unreadable(catalog: Catalog, group: Group): string[] {
  const parent = (folder: string) => folder.slice(0, folder.lastIndexOf('/') + 1);
  const others = new Set<string>();
  const ours = new Set<string>();
  for (const { manifest, folder } of catalog.entries) {
    if (manifest) (isOfGroup(manifest, group) ? ours : others).add(parent(folder));
  }
  const damaged = catalog.entries
    .filter(({ manifest }) => !manifest)
    .map(({ folder }) => folder)
    .filter((folder) => ours.has(parent(folder)) || !others.has(parent(folder)));
  return [...damaged, ...copiedFolders(catalog, group)];
}

/** Of a folder that was copied by hand nobody knows which of the two others refer to. */
function copiedFolders(catalog: Catalog, group: Group): string[] {
  const seen = new Set<string>();
  return catalog.entries.flatMap(({ manifest, folder }) => {
    if (!manifest || !isOfGroup(manifest, group)) return [];
    const again = seen.has(manifest.id);
    seen.add(manifest.id);
    return again ? [`${folder} (a second folder with the id ${manifest.id})`] : [];
  });
}

function isProbe(folder: string, lease: { job: string }): boolean {
  return lease.job === '' && folder.startsWith(`${PROBE_FOLDER}-`);
}

function outcome(
  { destination, group }: PruneRequest,
  plan: readonly RetentionDecision[],
  removed: readonly CatalogEntry[],
  swept: readonly Sweep[],
  warnings: readonly string[],
): PruneOutcome {
  const stored = removed.flatMap(({ objects }) => objects).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const orphaned = swept
    .filter((each) => each.outcome === 'swept')
    .reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    destination: destination.name,
    job: group.job,
    datasource: group.datasource,
    plan,
    removed: removed.map(({ manifest }) => manifest!.id),
    freedBytes: stored + orphaned,
    swept,
    warnings,
  };
}
