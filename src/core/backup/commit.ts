import type { Target } from '../../archive/fanout.ts';
import { MANIFEST_NAME } from '../../archive/format.ts';
import type { ArchiveSummary } from '../../archive/writer.ts';
import type { Dump, DumpFacts } from '../../engines/types.ts';
import { DguardError } from '../../errors.ts';
import { sealManifest } from '../../manifest/parse.ts';
import type { Manifest, ManifestDraft } from '../../manifest/types.ts';
import { endsDoubt, type GateFacts, judgeContent } from '../../plan/gate.ts';
import type { Runtime } from '../../runtime.ts';
import { putBytes } from '../../storages/write.ts';
import { recoverCommands } from '../recover.ts';
import { commonFields, type Run } from './run.ts';
import type { Warnings } from './warnings.ts';

/** The judgement of the content, the look at the own folder, then the manifest: the commit point. */
export async function commit(
  run: Run,
  dump: Dump,
  { summary, facts }: { summary: ArchiveSummary; facts: DumpFacts },
  warnings: Warnings,
  runtime: Runtime,
): Promise<Manifest> {
  await run.lease?.stop();
  for (const target of run.fanout.alive()) {
    await run.fanout.attempt(target, () => assertOwnFolder(run, target));
  }
  run.fanout.alive();
  const { options } = run.request.job;
  const noted = warnings.summary();
  const patterns = dump.patterns && {
    include: [...dump.patterns.include],
    exclude: [...dump.patterns.exclude],
  };
  const doubts = doubtsOf(run, summary.sizeBytes, facts, patterns);
  const draft: ManifestDraft = {
    ...commonFields(run, dump.snapshotAt, runtime),
    source_identity: dump.identity,
    ...(patterns ? { patterns } : {}),
    status: doubts.length > 0 ? 'suspect' : noted.partial ? 'partial' : 'completed',
    ...(doubts.length > 0 ? { doubts: [...doubts] } : {}),
    size_bytes: summary.sizeBytes,
    compressed_size_bytes: summary.compressedBytes,
    stored_size_bytes: run.fanout.written.reduce((sum, object) => sum + object.size, 0),
    compression: {
      codec: options.compression,
      ...(summary.level === undefined ? {} : { level: summary.level }),
    },
    artifacts: summary.artifacts as ManifestDraft['artifacts'],
    index: summary.index,
    facts: {
      ...(facts as NonNullable<ManifestDraft['facts']>),
      ...(noted.count > 0 ? { warnings: { count: noted.count, first: [...noted.first] } } : {}),
    },
    recover: recoverCommands(summary.artifacts, options.compression),
  };
  const { manifest, text } = sealManifest(draft);
  const bytes = Buffer.from(text);
  // Not as an object of the run: an abort between two puts must not take back what is already published.
  const published = await Promise.all(
    run.fanout.alive().map(async (target) => {
      const key = `${target.folder}/${MANIFEST_NAME}`;
      const put = (signal: AbortSignal) => putBytes(target.storage, key, bytes, { signal });
      return (await run.fanout.attempt(target, put)) !== undefined;
    }),
  );
  if (!published.includes(true)) throw run.fanout.dropped.values().next().value;
  return manifest;
}

function doubtsOf(
  run: Run,
  bytes: number,
  facts: DumpFacts,
  patterns: Manifest['patterns'],
): readonly string[] {
  const { history, job, only, exclude } = run.request;
  if (only.length + exclude.length > 0) return [];
  const now: GateFacts = { bytes, files: facts.files_count, tables: facts.tables_count, rows: facts.rows };
  // What another selection of the same source holds says nothing about this one.
  const comparable = (manifest: Manifest) => patternsText(manifest.patterns) === patternsText(patterns);
  const { lastGood } = history;
  const doubts = judgeContent(
    now,
    lastGood && comparable(lastGood) ? gateFacts(lastGood) : undefined,
    job.gate,
  );
  const alike = history.suspects.filter(comparable).map(gateFacts);
  return doubts.length > 0 && endsDoubt(now, alike, job.gate) ? [] : doubts;
}

/** The fields by name: a manifest that was read has them in another order than one that is being made. */
const patternsText = (patterns: Manifest['patterns']): string =>
  patterns === undefined ? '' : JSON.stringify([patterns.include, patterns.exclude]);

function gateFacts({ size_bytes, facts }: Manifest): GateFacts {
  return { bytes: size_bytes, files: facts?.files_count, tables: facts?.tables_count, rows: facts?.rows };
}

/** What is in the folder is what this run wrote, by name and size. */
async function assertOwnFolder(run: Run, target: Target): Promise<void> {
  const expected = new Map<string, number>();
  for (const [name, { sizeBytes }] of run.lease?.objects(target) ?? []) expected.set(name, sizeBytes);
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
          hint: 'something else writes into this folder, or the destination loses data: look there before the next run',
        },
      );
    }
  }
}
