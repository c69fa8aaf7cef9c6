import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createFanout, type Fanout, type Target } from '../archive/fanout.ts';
import { CHUNKER, MANIFEST_NAME } from '../archive/format.ts';
import { displayPath } from '../archive/paths.ts';
import { type ArchiveSummary, createArchiveWriter } from '../archive/writer.ts';
import type { BackupType, DatasourceConfig, JobConfig } from '../config/types.ts';
import { createEngine } from '../engines/registry.ts';
import type { Dump, DumpFacts, Warning } from '../engines/types.ts';
import { abortError, DguardError, errorText, toDguardError } from '../errors.ts';
import { sealManifest } from '../manifest/parse.ts';
import type { Manifest, ManifestDraft } from '../manifest/types.ts';
import { backupFolder, backupId } from '../plan/naming.ts';
import type { Runtime } from '../runtime.ts';
import { putBytes } from '../storages/write.ts';
import type { Destination } from './catalog.ts';
import { holdLease } from './lease.ts';
import { recoverCommands } from './recover.ts';

export interface BackupRequest {
  readonly job: JobConfig;
  readonly datasource: DatasourceConfig;
  readonly destinations: readonly Destination[];
  readonly type: BackupType;
  readonly runId: string;
  readonly tags: readonly string[];
  readonly only: readonly string[];
  readonly exclude: readonly string[];
  readonly timeZone: string;
  readonly namespace: string;
  readonly hostName: string;
  readonly ownPaths: readonly string[];
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
  readonly status: 'completed' | 'partial' | 'failed';
  readonly manifest?: Manifest;
  readonly copies: readonly CopyOutcome[];
  readonly warnings: { count: number; first: readonly string[] };
  readonly error?: DguardError;
}

const STALL_MS = 10 * 60 * 1000;
const LISTED_WARNINGS = 20;

/**
 * Backs up one datasource to its destinations in one pass. Never throws for what a run can meet: the
 * outcome says it. What is listed afterwards is whole, whatever happened.
 */
export async function backupDatasource(request: BackupRequest, runtime: Runtime): Promise<BackupOutcome> {
  const subject = request.datasource.name;
  const emit = (stage: 'prepare' | 'dump' | 'finish') =>
    runtime.emit({ type: 'stage', job: request.job.name, subject, stage });
  const warnings = collectWarnings(request, runtime);
  const startedAt = runtime.now();
  let tempDir: string | undefined;
  let dump: Dump | undefined;
  let run: Run | undefined;
  try {
    emit('prepare');
    tempDir = await mkdtemp(join(runtime.tempDir, 'dguard-'));
    const engine = await createEngine(request.datasource.type, subject);
    dump = await engine.dump(
      {
        name: subject,
        options: request.datasource,
        signal: runtime.signal,
        tempDir,
        host: { ...runtime.host, name: request.hostName },
        now: runtime.now,
        env: runtime.env,
        warn: warnings.add,
      },
      {
        format: request.job.options.format,
        include: [...request.job.options.include_tables, ...request.only],
        exclude: [...request.job.options.exclude_tables, ...request.exclude],
        parallelJobs: request.job.options.parallel_jobs,
        ownPaths: request.ownPaths,
      },
    );
    run = beginRun(request, dump, runtime, startedAt);
    emit('dump');
    const written = await writeArchive(run, dump, tempDir, warnings, runtime);
    emit('finish');
    const manifest = await commit(run, dump, written, warnings, runtime);
    const outcome = manifest.status === 'partial' ? 'partial' : 'completed';
    runtime.emit({ type: 'done', job: request.job.name, subject, outcome });
    return {
      datasource: subject,
      status: outcome,
      manifest,
      copies: copiesOf(run),
      warnings: warnings.summary(),
    };
  } catch (thrown) {
    const error = runtime.signal.aborted
      ? abortError(runtime.signal)
      : toDguardError(thrown, 'source_failed', { operation: 'backup', subject });
    if (run) await giveUp(run, error, warnings, runtime);
    runtime.emit({ type: 'done', job: request.job.name, subject, outcome: 'failed' });
    return {
      datasource: subject,
      status: 'failed',
      copies: run ? copiesOf(run) : [],
      warnings: warnings.summary(),
      error,
    };
  } finally {
    await dump
      ?.close()
      .catch((error: unknown) => warnings.add({ message: errorText(error), partial: false }));
    if (tempDir) await rm(tempDir, { recursive: true, force: true });
  }
}

interface Run {
  readonly request: BackupRequest;
  readonly id: string;
  readonly targets: readonly Target[];
  readonly fanout: Fanout;
  readonly startedAt: Date;
  lease?: Awaited<ReturnType<typeof holdLease>>;
}

function beginRun(request: BackupRequest, dump: Dump, runtime: Runtime, startedAt: Date): Run {
  const id = backupId(request.type, dump.snapshotAt, randomBytes(5));
  const values = {
    job: request.job.name,
    datasource: request.datasource.name,
    host: request.hostName,
    type: request.type,
    id,
    at: dump.snapshotAt,
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
        subject: request.datasource.name,
        message: `destination ${target.name} is left out of this run: ${error.message}`,
      }),
  });
  return { request, id, targets, fanout, startedAt };
}

async function writeArchive(
  run: Run,
  dump: Dump,
  tempDir: string,
  warnings: Warnings,
  runtime: Runtime,
): Promise<{ summary: ArchiveSummary; facts: DumpFacts }> {
  const { request, fanout } = run;
  run.lease = await holdLease(
    fanout,
    run.targets,
    {
      id: run.id,
      job: request.job.name,
      datasource: request.datasource.name,
      startedAt: run.startedAt,
      references: [],
    },
    runtime,
  );
  const { compression, compression_level, max_file_size_mb } = request.job.options;
  let lastReport = 0;
  const writer = await createArchiveWriter({
    id: run.id,
    fanout,
    codec: compression,
    ...(compression_level === undefined ? {} : { level: compression_level }),
    ...(max_file_size_mb === undefined ? {} : { partBytes: max_file_size_mb * 1024 * 1024 }),
    tempDir,
    signal: runtime.signal,
    warn: warnings.add,
    onProgress(bytesDone, bytesStored, filesDone) {
      const now = performance.now();
      if (now - lastReport < 200) return;
      lastReport = now;
      const { name: subject } = request.datasource;
      runtime.emit({ type: 'progress', job: request.job.name, subject, bytesDone, bytesStored, filesDone });
    },
  });
  try {
    for await (const member of dump.members()) await writer.addMember(member);
    const facts = await dump.facts();
    return { facts, summary: await writer.finish(dump.sources ?? []) };
  } finally {
    await writer.dispose();
  }
}

/** The look at the own folder, then the manifest: the commit point at each destination. */
async function commit(
  run: Run,
  dump: Dump,
  { summary, facts }: { summary: ArchiveSummary; facts: DumpFacts },
  warnings: Warnings,
  runtime: Runtime,
): Promise<Manifest> {
  await run.lease?.stop();
  for (const target of run.fanout.alive()) {
    try {
      await assertOwnFolder(run, target);
    } catch (error) {
      run.fanout.drop(target, error);
    }
  }
  run.fanout.alive();
  const noted = warnings.summary();
  const draft: ManifestDraft = {
    ...commonFields(run, dump, runtime),
    status: noted.partial ? 'partial' : 'completed',
    size_bytes: summary.sizeBytes,
    compressed_size_bytes: summary.compressedBytes,
    stored_size_bytes: run.fanout.written.reduce((sum, object) => sum + object.size, 0),
    compression: {
      codec: run.request.job.options.compression,
      ...(summary.level === undefined ? {} : { level: summary.level }),
    },
    artifacts: summary.artifacts as ManifestDraft['artifacts'],
    index: summary.index,
    facts: {
      ...(facts as NonNullable<ManifestDraft['facts']>),
      ...(noted.count > 0 ? { warnings: { count: noted.count, first: [...noted.first] } } : {}),
    },
    recover: recoverCommands(summary.artifacts, run.request.job.options.compression),
  };
  const { manifest, text } = sealManifest(draft);
  const bytes = Buffer.from(text);
  // Not through the fan-out: an abort between two puts must not take back what is already published.
  const published = await Promise.all(
    run.fanout.alive().map(async (target) => {
      try {
        await putBytes(target.storage, `${target.folder}/${MANIFEST_NAME}`, bytes);
        return true;
      } catch (error) {
        run.fanout.drop(target, error);
        return false;
      }
    }),
  );
  if (!published.includes(true)) throw run.fanout.dropped.values().next().value;
  return manifest;
}

async function assertOwnFolder(run: Run, target: Target): Promise<void> {
  const expected = new Map<string, number>(run.lease?.objects(target));
  for (const { name, size } of run.fanout.written) expected.set(name, size);
  const found = new Map<string, number>();
  for await (const { key, sizeBytes } of target.storage.list(`${target.folder}/`)) {
    found.set(key.slice(target.folder.length + 1), sizeBytes);
  }
  for (const name of new Set([...expected.keys(), ...found.keys()])) {
    if (expected.get(name) !== found.get(name)) {
      throw new DguardError(
        'storage_failed',
        `${name} was written with ${expected.get(name) ?? 'no'} bytes, but ${found.get(name) ?? 'none'} are there`,
        {
          operation: 'look at the written backup',
          subject: `${target.name}:${target.folder}`,
          hint: 'something else writes into this folder, or the destination loses data: `dguard check`',
        },
      );
    }
  }
}

function commonFields(run: Run, dump: Dump, runtime: Runtime) {
  const { request } = run;
  const finishedAt = runtime.now();
  const expires = request.type === 'snapshot' ? request.job.expires_ms : undefined;
  return {
    format: 1 as const,
    dguard_version: runtime.version,
    id: run.id,
    run_id: request.runId,
    ...(request.namespace === '' ? {} : { namespace: request.namespace }),
    host: request.hostName,
    source_identity: dump.identity,
    job: request.job.name,
    datasource: { name: request.datasource.name, type: request.datasource.type },
    ...(dump.patterns
      ? { patterns: { include: [...dump.patterns.include], exclude: [...dump.patterns.exclude] } }
      : {}),
    tags: [...request.tags],
    type: request.type,
    ...(expires === undefined ? {} : { expires: new Date(finishedAt.getTime() + expires).toISOString() }),
    references: [],
    created_at: dump.snapshotAt.toISOString(),
    started_at: run.startedAt.toISOString(),
    finished_at: finishedAt.toISOString(),
    time_zone: request.timeZone,
    duration_ms: Math.max(0, finishedAt.getTime() - run.startedAt.getTime()),
    chunker: { ...CHUNKER },
    destinations: request.destinations.map(({ name }) => name),
  };
}

/** Removes what this run wrote and leaves a small `failed` manifest, for history. Best effort: never throws. */
async function giveUp(run: Run, error: DguardError, warnings: Warnings, runtime: Runtime): Promise<void> {
  await run.lease?.stop();
  const quiet = (operation: Promise<unknown>) =>
    operation.catch((cause: unknown) =>
      warnings.add({ message: `clean up: ${errorText(cause)}`, partial: false }),
    );
  const { request } = run;
  for (const target of run.targets) {
    // Only what this run put whole; its folder's name is its own. An interrupted put leaves nothing.
    for (const { name } of run.fanout.written) await quiet(target.storage.delete(`${target.folder}/${name}`));
    const now = runtime.now();
    const draft: ManifestDraft = {
      ...commonFields(run, { snapshotAt: run.startedAt, identity: '' } as Dump, runtime),
      created_at: run.startedAt.toISOString(),
      finished_at: now.toISOString(),
      status: 'failed',
      size_bytes: 0,
      compressed_size_bytes: 0,
      stored_size_bytes: 0,
      compression: { codec: request.job.options.compression },
      artifacts: [],
      error: {
        operation: error.operation ?? 'backup',
        stage: 'dump',
        code: error.code,
        message: error.message.slice(0, 4000),
      },
      recover: [],
    };
    const bytes = Buffer.from(sealManifest(draft).text);
    await quiet(putBytes(target.storage, `${target.folder}/${MANIFEST_NAME}`, bytes));
  }
}

function copiesOf(run: Run): CopyOutcome[] {
  return run.targets.map((target) => {
    const error = run.fanout.dropped.get(target);
    return { destination: target.name, folder: target.folder, ...(error ? { error } : {}) };
  });
}

interface Warnings {
  add(warning: Warning): void;
  summary(): { count: number; first: readonly string[]; partial: boolean };
}

function collectWarnings(request: BackupRequest, runtime: Runtime): Warnings {
  const first: string[] = [];
  let count = 0;
  let partial = false;
  return {
    add(warning) {
      count++;
      partial ||= warning.partial;
      const subject = warning.subject === undefined ? '' : `${displayPath(warning.subject)}: `;
      const text = `${subject}${warning.message}`.slice(0, 2000);
      if (first.length < LISTED_WARNINGS) first.push(text);
      runtime.emit({
        type: 'log',
        level: 'warning',
        job: request.job.name,
        subject: request.datasource.name,
        message: text,
      });
    },
    summary: () => ({ count, first, partial }),
  };
}
