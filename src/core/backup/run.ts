import { randomBytes } from 'node:crypto';
import { createFanout, type Fanout, type Target } from '../../archive/fanout.ts';
import { CHUNKER } from '../../archive/format.ts';
import type { DatasourceConfig } from '../../config/types/datasources.ts';
import type { BackupType, JobConfig } from '../../config/types/jobs.ts';
import type { DguardError } from '../../errors.ts';
import type { Manifest } from '../../manifest/types.ts';
import { backupFolder, backupId } from '../../plan/naming.ts';
import type { Runtime } from '../../runtime.ts';
import type { Destination } from '../catalog.ts';
import type { History } from '../history.ts';
import type { holdLease } from '../lease.ts';

export interface BackupRequest {
  readonly job: JobConfig;
  readonly datasource: DatasourceConfig;
  /** What the backup is called: the datasource's name, or `{datasource}.{database}`. */
  readonly name: string;
  readonly database?: string;
  /** Of a datasource with several databases: how many it has. */
  readonly databasesCount?: number;
  readonly destinations: readonly Destination[];
  readonly type: BackupType;
  readonly runId: string;
  readonly tags: readonly string[];
  /** Picked at the command line, on top of the configuration: then the backup is outside the history. */
  readonly only: readonly string[];
  readonly exclude: readonly string[];
  readonly namespace: string;
  readonly hostName: string;
  readonly ownPaths: readonly string[];
  readonly history: History;
  /** Removes what the policy removes anyway at a destination that has too little room. True: look again. */
  readonly makeRoom: (destination: string) => Promise<boolean>;
  /** Before the source is opened: ends what an interrupted restore of it has begun. */
  readonly recover: () => Promise<void>;
  /** The clock was found wrong before, and is to be taken as it is. */
  readonly ignoreClock: boolean;
  /** A destination that takes nothing for so long is dropped from the run. */
  readonly stallMs?: number;
}

export interface CopyOutcome {
  readonly destination: string;
  readonly folder: string;
  readonly error?: DguardError;
}

export interface BackupOutcome {
  readonly datasource: string;
  readonly status: Manifest['status'];
  readonly manifest?: Manifest;
  readonly copies: readonly CopyOutcome[];
  readonly warnings: { count: number; first: readonly string[] };
  /** Why it failed; of a backup that is there: why nothing could be pruned after it. */
  readonly error?: DguardError;
}

/** One run of one datasource, from the moment its snapshot is known. */
export interface Run {
  readonly request: BackupRequest;
  readonly id: string;
  readonly targets: readonly Target[];
  readonly fanout: Fanout;
  readonly startedAt: Date;
  lease?: Awaited<ReturnType<typeof holdLease>>;
}

const STALL_MS = 10 * 60 * 1000;

export function beginRun(request: BackupRequest, snapshotAt: Date, runtime: Runtime, startedAt: Date): Run {
  const id = backupId(request.type, snapshotAt, randomBytes(5));
  const values = {
    job: request.job.name,
    datasource: request.name,
    host: request.hostName,
    type: request.type,
    id,
    at: snapshotAt,
  };
  const targets = request.destinations.map(({ name, storage, pathTemplate }) => ({
    name,
    storage,
    folder: backupFolder(pathTemplate, values),
  }));
  const fanout = createFanout(targets, {
    signal: runtime.signal,
    stallMs: request.stallMs ?? STALL_MS,
    onDrop: (target, error) =>
      runtime.emit({
        type: 'log',
        level: 'error',
        job: request.job.name,
        subject: request.name,
        message: `destination ${target.name} is left out of this run: ${error.message}`,
      }),
  });
  return { request, id, targets, fanout, startedAt };
}

/** What became of each destination. */
export function copiesOf(run: Run): CopyOutcome[] {
  return run.targets.map((target) => {
    const error = run.fanout.dropped.get(target);
    return { destination: target.name, folder: target.folder, ...(error ? { error } : {}) };
  });
}

/** The manifest's fields that every run has, whatever became of it. */
export function commonFields(run: Run, snapshotAt: Date, runtime: Runtime) {
  const { request } = run;
  const finishedAt = runtime.now();
  const expires = request.type === 'snapshot' ? request.job.expires_ms : undefined;
  const selected = request.only.length + request.exclude.length > 0;
  return {
    format: 1 as const,
    dguard_version: runtime.version,
    id: run.id,
    run_id: request.runId,
    ...(request.namespace === '' ? {} : { namespace: request.namespace }),
    host: request.hostName,
    job: request.job.name,
    datasource: { name: request.name, type: request.datasource.type },
    ...(request.database === undefined ? {} : { database: request.database }),
    ...(request.databasesCount === undefined ? {} : { databases_count: request.databasesCount }),
    ...(selected ? { selection: { only: [...request.only], exclude: [...request.exclude] } } : {}),
    tags: [...request.tags],
    type: request.type,
    ...(expires === undefined ? {} : { expires: new Date(finishedAt.getTime() + expires).toISOString() }),
    references: [],
    created_at: snapshotAt.toISOString(),
    started_at: run.startedAt.toISOString(),
    finished_at: finishedAt.toISOString(),
    time_zone: request.job.timezone,
    duration_ms: Math.max(0, finishedAt.getTime() - run.startedAt.getTime()),
    chunker: { ...CHUNKER },
    destinations: request.destinations.map(({ name }) => name),
  };
}
