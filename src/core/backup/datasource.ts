import { type ArchiveSummary, createArchiveWriter } from '../../archive/writer.ts';
import { createEngine } from '../../engines/registry.ts';
import type { Dump, DumpFacts } from '../../engines/types.ts';
import { abortError, DguardError, errorText, toDguardError } from '../../errors.ts';
import { doubtClock } from '../../plan/clock.ts';
import type { Runtime } from '../../runtime.ts';
import { holdLease } from '../lease.ts';
import { makeTempFolder, removeTempFolder } from '../temp-folder.ts';
import { commit } from './commit.ts';
import { giveUp } from './failed.ts';
import { type BackupOutcome, type BackupRequest, beginRun, copiesOf, type Run } from './run.ts';
import { requireSpace } from './space.ts';
import { collectWarnings, type Warnings } from './warnings.ts';

/**
 * Backs up one datasource to its destinations in one pass. Never throws for what a run can meet: the
 * outcome says it. What is listed afterwards is whole, whatever happened.
 */
export async function backupDatasource(request: BackupRequest, runtime: Runtime): Promise<BackupOutcome> {
  const job = request.job.name;
  const subject = request.name;
  const warnings = collectWarnings(job, subject, runtime);
  const startedAt = runtime.now();
  let tempDir: string | undefined;
  let dump: Dump | undefined;
  let run: Run | undefined;
  try {
    runtime.emit({ type: 'stage', job, subject, stage: 'prepare' });
    tempDir = await makeTempFolder(runtime);
    await request.recover();
    dump = await openDump(request, tempDir, warnings, runtime);
    warnOfIdentity(request, dump.identity, warnings);
    run = beginRun(request, dump.snapshotAt, runtime, startedAt);
    await requireSpace(run, dump, warnings);
    const totalBytes = dump.expectedBytes;
    runtime.emit({
      type: 'stage',
      job,
      subject,
      stage: 'dump',
      ...(totalBytes === undefined ? {} : { totalBytes }),
    });
    const written = await writeArchive(run, dump, tempDir, warnings, runtime);
    runtime.emit({ type: 'stage', job, subject, stage: 'finish' });
    const manifest = await commit(run, dump, written, warnings, runtime);
    const outcome = manifest.status === 'completed' ? 'completed' : 'partial';
    runtime.emit({ type: 'done', job, subject, outcome });
    return {
      datasource: subject,
      status: manifest.status,
      manifest,
      copies: copiesOf(run),
      warnings: warnings.summary(),
    };
  } catch (thrown) {
    const error = runtime.signal.aborted ? abortError(runtime.signal) : failureOf(thrown, subject);
    // Somebody restores it just now: nothing was tried, and nothing failed.
    if (error.code === 'locked' && !run)
      return { datasource: subject, status: 'failed', copies: [], warnings: warnings.summary(), error };
    // A source that could not even be opened is a failed run too: history and success rate count it.
    run ??= beginRun(request, startedAt, runtime, startedAt);
    await giveUp(run, error, warnings, runtime);
    runtime.emit({ type: 'done', job, subject, outcome: 'failed' });
    return {
      datasource: subject,
      status: 'failed',
      copies: copiesOf(run),
      warnings: warnings.summary(),
      error,
    };
  } finally {
    await dump
      ?.close()
      .catch((error: unknown) => warnings.add({ message: errorText(error), partial: false }));
    if (tempDir) await removeTempFolder(runtime, tempDir);
  }
}

async function openDump(
  request: BackupRequest,
  tempDir: string,
  warnings: Warnings,
  runtime: Runtime,
): Promise<Dump> {
  const { options } = request.job;
  const engine = await createEngine(request.datasource.type, request.name);
  const source = {
    name: request.name,
    options: request.datasource,
    signal: runtime.signal,
    tempDir,
    host: { ...runtime.host, name: request.hostName },
    now: runtime.now,
    env: runtime.env,
    warn: warnings.add,
  };
  return engine.dump(source, {
    ...(request.database === undefined ? {} : { database: request.database }),
    format: options.format,
    include: [...options.include_tables, ...request.only],
    exclude: [...options.exclude_tables, ...request.exclude],
    parallelJobs: options.parallel_jobs ?? 1,
    ownPaths: request.ownPaths,
  });
}

/** What failed, with the datasource's name before what it failed on. */
export function failureOf(thrown: unknown, name: string): DguardError {
  const { code, message, hint, lasting, subject, cause } = toDguardError(thrown, 'source_failed');
  const on = subject === undefined || subject.startsWith(name) ? (subject ?? name) : `${name}: ${subject}`;
  const details = {
    operation: 'backup',
    subject: on,
    ...(hint === undefined ? {} : { hint }),
    lasting,
    cause,
  };
  return new DguardError(code, message, details);
}

/** A new source under an old name is said; two that take turns are said louder. */
function warnOfIdentity({ history, job }: BackupRequest, identity: string, warnings: Warnings): void {
  const before = history.identities.at(-1);
  if (before === undefined || before === identity || job.same_source) return;
  const mixed = history.identities.includes(identity);
  const message = mixed
    ? `the source is ${identity} again, after ${before}: two sources write under one name; until their namespaces differ (defaults.namespace), or the job says same_source: true, prune and restore by job refuse`
    : `the source is another than before: ${identity}, not ${before}; this is a full backup (where that one is backed up as well, give each its own defaults.namespace; where only this host's name changes, say defaults.host)`;
  warnings.add({ message, partial: false });
}

async function writeArchive(
  run: Run,
  dump: Dump,
  tempDir: string,
  warnings: Warnings,
  runtime: Runtime,
): Promise<{ summary: ArchiveSummary; facts: DumpFacts }> {
  const { request, fanout } = run;
  const job = request.job.name;
  const subject = request.name;
  const facts = {
    id: run.id,
    namespace: request.namespace,
    job,
    datasource: subject,
    startedAt: run.startedAt,
    references: [],
  };
  run.lease = await holdLease(fanout, run.targets, facts, runtime);
  dropWrongClocks(run, runtime);
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
      runtime.emit({ type: 'progress', job, subject, bytesDone, bytesStored, filesDone });
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

/** The lease that was just put tells what time it is at a remote destination. */
function dropWrongClocks(run: Run, runtime: Runtime): void {
  if (run.request.ignoreClock) return;
  for (const target of run.fanout.alive()) {
    if (!target.storage.capabilities.remote) continue;
    const [lease] = run.lease?.objects(target).values() ?? [];
    const doubt = lease && doubtClock(runtime.now(), undefined, lease.modifiedAt);
    if (doubt === undefined) continue;
    run.fanout.drop(
      target,
      new DguardError('storage_failed', doubt, {
        operation: 'look at the clock',
        subject: target.name,
        hint: 'set the clock right (timedatectl), or take it as it is: --ignore-clock',
      }),
    );
  }
  run.fanout.alive();
}
