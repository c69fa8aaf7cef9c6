import { isOfDatasource } from '../config/former.ts';
import type { Config } from '../config/types.ts';
import { DguardError } from '../errors.ts';
import type { CatalogEntry } from './catalog.ts';
import { damagedBeside } from './damaged.ts';
import { isDatedAhead, isOutsideHistory, jobOf } from './find.ts';
import { hasSeveral, type JobScope, labelsOf, listedGroups, nameIn, scopeOf } from './groups.ts';
import { historyOfOne } from './history.ts';

/** A job's backup, and what its datasource (or `{datasource}.{database}`) is called in the job today. */
export interface JobBackup {
  readonly entry: CatalogEntry;
  readonly name: string;
}

export interface RunChoice {
  readonly now: Date;
  /** Where it knows the job: which backups are the job's, and which datasources it has. */
  readonly config?: Config | undefined;
  /** What this host is called in manifests: where another one's source is the newest, it has to be said whose is meant. */
  readonly hostName?: string | undefined;
  /** These alone; otherwise all of the job. */
  readonly datasources?: readonly string[];
  /** Leaves out what is younger. */
  readonly at?: Date;
}

/** What was chosen, and what is newer and was passed over. */
export interface ChosenRun {
  readonly copies: readonly CatalogEntry[];
  /** Why newer runs were not taken, newest first, for people. */
  readonly passedOver: readonly string[];
  /** What only older runs of the job have, where nobody knows what it has today; newest first, for people. */
  readonly leftOut: readonly string[];
  /** What may be of the job too and cannot be read, where nobody knows what it has today; for people. */
  readonly unreadable: readonly string[];
}

/**
 * A job's backups. Where the configuration has the job: those of its namespace, former names included.
 * Otherwise all of that name.
 */
export function backupsOf(
  entries: readonly CatalogEntry[],
  job: string,
  config: Config | undefined,
): JobBackup[] {
  const scope = scopeIn(config, job);
  return entries.flatMap((entry) => {
    if (!entry.manifest) return [];
    const labels = labelsOf(entry.manifest);
    const name = scope ? nameIn(scope, labels) : labels.job === job ? labels.datasource : undefined;
    return name === undefined ? [] : [{ entry, name }];
  });
}

/** Undefined where the configuration does not have the job. */
export function scopeIn(config: Config | undefined, job: string): JobScope | undefined {
  const configured = jobOf(config, job);
  return config && configured && scopeOf(config, configured);
}

/**
 * The newest run of a job in which every wanted datasource has a good backup, one copy each. Wanted is what
 * the job has today: one that was taken out of it is not waited for. Never chosen: what is dated ahead of
 * `now`, safety backups, selections (`--only`).
 * Errors: nothing_there; unknown_name of a datasource; config_invalid where two sources write under one name,
 * unless the job says that they are one, and where several installations have the job and none is meant.
 */
export function newestGoodRun(entries: readonly CatalogEntry[], job: string, choice: RunChoice): ChosenRun {
  const { config, now, at } = choice;
  const all = backupsOf(entries, job, config);
  const wanted = choice.datasources?.length ? choice.datasources : jobOf(config, job)?.datasources;
  refuseUnknown(
    choice.datasources ?? [],
    [...(jobOf(config, job)?.datasources ?? []), ...all.map(({ name }) => name)],
    job,
  );
  refuseSeveralInstallations(all, job);
  if (!jobOf(config, job)?.same_source) {
    const isWanted = ({ name }: JobBackup) =>
      !wanted || wanted.some((datasource) => isOfDatasource(name, datasource));
    refuseMixedSources(all.filter(isWanted), job, choice);
  }
  const ofJob = all.filter(
    ({ entry: { manifest } }) =>
      !(at && new Date(manifest!.created_at) > at) &&
      !isDatedAhead(manifest, now) &&
      !isOutsideHistory(manifest!),
  );
  const passedOver: string[] = [];
  const runs = runsOf(ofJob);
  for (const [index, ofRun] of runs.entries()) {
    const good = new Map<string, CatalogEntry>();
    for (const { entry, name } of [...ofRun].reverse()) if (entry.good) good.set(name, entry);
    const { names, unmade } = needsOf(ofRun, runs[index + 1] ?? [], wanted, config);
    const lacking = names.filter((name) => !good.has(name));
    if (lacking.length + unmade.length === 0) {
      const older = runs.slice(index).flat();
      const leftOut = wanted
        ? []
        : lastRunsOf(older.filter(({ name, entry }) => entry.good && !good.has(name)));
      const chosen = new Map(names.map((name) => [name, good.get(name)!]));
      const damaged = damagedBeside(entries, all, chosen, { job, at, wanted: wanted !== undefined });
      return {
        copies: [...chosen.values()],
        passedOver: [...damaged.newer, ...passedOver],
        leftOut,
        unreadable: damaged.unknown,
      };
    }
    // A run in which none of it was to be is no newer state of it.
    const made = ofRun[0]!.entry.manifest!.created_at;
    if (ofRun.some(({ name }) => names.includes(name))) {
      const why = [...lacking.map((name) => stateOf(name, ofRun)), ...unmade];
      passedOver.push(`the run of ${made}: ${why.join(', ')}`);
    }
  }
  const before = at ? `, of ${at.toISOString()} or before` : '';
  const ahead = all.find(({ entry }) => isDatedAhead(entry.manifest, now));
  const newest =
    passedOver[0] !== undefined ? `in ${passedOver[0]}; ` : ahead ? `${aheadOf(ahead, now)}; ` : '';
  const message = `job ${job} has no run in which all wanted datasources are good${before}`;
  throw new DguardError('nothing_there', message, {
    operation: 'find backup',
    subject: job,
    hint: `${newest}\`dguard list ${job}\` shows what there is; --datasource picks one, an id names any`,
  });
}

const aheadOf = ({ entry: { manifest } }: JobBackup, now: Date): string =>
  `that of ${manifest!.created_at} is dated ahead of this host's clock, which says ${now.toISOString()}`;

/** By run, newest first. */
function runsOf(backups: readonly JobBackup[]): JobBackup[][] {
  const runs = new Map<string, JobBackup[]>();
  for (const each of backups) {
    const { run_id } = each.entry.manifest!;
    const run = runs.get(run_id);
    if (run) run.push(each);
    else runs.set(run_id, [each]);
  }
  return [...runs.values()];
}

/** What a run must have, by name; and how much of it was not made, in words, where no name is known. */
interface Needs {
  readonly names: readonly string[];
  readonly unmade: readonly string[];
}

/** `wanted` undefined: nobody knows what the job has today. */
function needsOf(
  ofRun: readonly JobBackup[],
  before: readonly JobBackup[],
  wanted: readonly string[] | undefined,
  config: Config | undefined,
): Needs {
  if (!wanted) return metBy(ofRun, before);
  const needs = wanted.map((datasource): Needs => {
    const isConfigured = config !== undefined && Object.hasOwn(config.datasources, datasource);
    if (isConfigured && !hasSeveral(config, datasource)) return { names: [datasource], unmade: [] };
    const listed = listedGroups(config, datasource);
    if (listed) return { names: listed, unmade: [] };
    // One of several databases, picked by name.
    const isOne = (each: JobBackup) => each.name === datasource && severalOf(each) !== undefined;
    if (!isConfigured && [...ofRun, ...before].some(isOne)) return { names: [datasource], unmade: [] };
    const ours = (each: JobBackup) => each.name === datasource || severalOf(each) === datasource;
    const met = metBy(ofRun.filter(ours), before.filter(ours));
    return met.names.length === 0 ? { ...met, names: [datasource] } : met;
  });
  return {
    names: [...new Set(needs.flatMap(({ names }) => names))],
    unmade: needs.flatMap(({ unmade }) => unmade),
  };
}

/**
 * What a run has, and what the run before it had besides: one that was killed says nothing of what it lacks. Of a
 * datasource with several databases the manifests say how many there were; where a run has so many, the others are gone.
 */
function metBy(ofRun: readonly JobBackup[], before: readonly JobBackup[]): Needs {
  const made = new Map<string, { readonly names: Set<string>; readonly count: number }>();
  for (const each of ofRun) {
    const count = each.entry.manifest!.databases_count;
    const several = severalOf(each);
    if (several === undefined || count === undefined) continue;
    const names = made.get(several)?.names ?? new Set();
    made.set(several, { names: names.add(each.name), count });
  }
  const isWhole = (several: string) => {
    const of = made.get(several);
    return of !== undefined && of.names.size >= of.count;
  };
  const lost = before.filter((each) => !isWhole(severalOf(each) ?? each.name));
  const met = [...ofRun, ...lost];
  const known = (several: string) =>
    new Set(met.filter((each) => severalOf(each) === several).map(({ name }) => name)).size;
  const unmade = [...made].flatMap(([several, { count }]) =>
    known(several) < count ? [`${several} has ${known(several)} of ${count} databases`] : [],
  );
  return { names: [...new Set(met.map(({ name }) => name))], unmade };
}

/** The datasource of several databases that a backup is one of. */
function severalOf({ entry: { manifest }, name }: JobBackup): string | undefined {
  const suffix = `.${manifest!.database ?? ''}`;
  return manifest!.database !== undefined && name.endsWith(suffix)
    ? name.slice(0, -suffix.length)
    : undefined;
}

/** Each name once, with its newest run; `backups` are newest first. */
function lastRunsOf(backups: readonly JobBackup[]): string[] {
  const newest = new Map<string, JobBackup>();
  for (const each of backups) if (!newest.has(each.name)) newest.set(each.name, each);
  return [...newest.values()].map(
    ({ name, entry: { manifest } }) => `${name}, last in the run of ${manifest!.created_at}`,
  );
}

function stateOf(name: string, ofRun: readonly JobBackup[]): string {
  const states = ofRun.filter((each) => each.name === name).map(({ entry }) => entry.state);
  return `${name} is ${states[0] ?? 'missing'}`;
}

/** Of two sources under one name, the newest backup is of nobody knows which. */
function refuseMixedSources(backups: readonly JobBackup[], job: string, { now, hostName }: RunChoice): void {
  for (const each of new Set(backups.map(({ name }) => name))) {
    const mine = backups.filter(({ name }) => name === each).map(({ entry }) => entry);
    const { identity, identities } = historyOfOne(mine, now, hostName);
    if (identity !== 'mixed') continue;
    const newest = [...new Set(identities.toReversed())].slice(0, 2).join(' and ');
    throw new DguardError(
      'config_invalid',
      `two sources write under this name, ${newest}: which one is meant?`,
      {
        operation: 'find backup',
        subject: `${job}/${each}`,
        hint: 'restore a backup by its id (`dguard show ID` says what its source is); give each its own defaults.namespace, or say same_source: true in the job',
      },
    );
  }
}

function refuseUnknown(wanted: readonly string[], known: readonly string[], job: string): void {
  const unknown = wanted.find((datasource) => !known.some((name) => isOfDatasource(name, datasource)));
  if (unknown === undefined) return;
  throw new DguardError('unknown_name', `job ${job} has no datasource ${unknown}`, {
    operation: 'find backup',
    subject: job,
    hint: `it has: ${[...new Set(known)].join(', ')}`,
  });
}

/** Without the job's configuration its name may be that of several. */
function refuseSeveralInstallations(backups: readonly JobBackup[], job: string): void {
  const namespaces = [...new Set(backups.map(({ entry }) => labelsOf(entry.manifest!).namespace))];
  if (namespaces.length < 2) return;
  const names = namespaces.map((each) => (each === '' ? 'none' : each)).join(', ');
  throw new DguardError('config_invalid', `several installations have a job ${job}: whose is meant?`, {
    operation: 'find backup',
    subject: job,
    hint: `restore a backup by its id (\`dguard list ${job}\`), or with a configuration that has the job and its defaults.namespace: ${names}`,
  });
}
