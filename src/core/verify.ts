import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseBlockLine } from '../archive/chain.ts';
import { decodeBlocks, type Need } from '../archive/decode.ts';
import { INDEX_NAME, originOf, SUMS_NAME } from '../archive/format.ts';
import { artifactObjects, checksumLines } from '../archive/objects.ts';
import { openContent } from '../archive/reader.ts';
import { createEngine } from '../engines/registry.ts';
import type { ContentEntry, Slice } from '../engines/types.ts';
import { DguardError, errorText, toDguardError } from '../errors.ts';
import type { Runtime } from '../runtime.ts';
import { readObject } from '../storages/read.ts';
import type { CatalogEntry } from './catalog.ts';
import { asStored, resolver } from './find.ts';
import { putMark } from './marks.ts';
import { holdReadLease } from './reading.ts';

export type VerifyLevel = 'exists' | 'checksum' | 'content' | 'restore';
export type CheckName = 'exists' | 'integrity' | 'content' | 'restore' | 'completeness';

export interface VerifyReport {
  readonly id: string;
  readonly destination: string;
  readonly folder: string;
  readonly level: VerifyLevel;
  readonly overall: 'pass' | 'fail' | 'error';
  readonly checks: readonly {
    readonly name: CheckName;
    readonly result: 'pass' | 'fail';
    readonly message?: string;
  }[];
  readonly warnings: readonly string[];
  readonly error?: DguardError;
}

const LEVELS: readonly VerifyLevel[] = ['exists', 'checksum', 'content', 'restore'];

/**
 * Proves one copy of one backup up to a level, and stores the result beside it either way. A check that
 * does not hold is `fail`; what could not be looked at is `error`.
 */
export async function verifyCopy(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  level: VerifyLevel,
  runtime: Runtime,
): Promise<VerifyReport> {
  const checks: { name: CheckName; result: 'pass' | 'fail'; message?: string }[] = [];
  const id = copy.manifest?.id ?? copy.folder;
  const upTo = LEVELS.indexOf(level);
  runtime.emit({ type: 'stage', subject: id, stage: 'check' });
  let error: DguardError | undefined;
  const check = async (name: CheckName, step: () => Promise<void>): Promise<void> => {
    if (error || checks.some(({ result }) => result === 'fail')) return;
    try {
      await step();
      checks.push({ name, result: 'pass' });
    } catch (thrown) {
      const known = toDguardError(thrown, 'storage_failed', { operation: 'verify', subject: id });
      if (isBadBytes(known)) {
        const where = known.subject === undefined ? '' : `${known.subject}: `;
        checks.push({ name, result: 'fail', message: where + known.message });
      } else error = known;
    }
  };
  await check('exists', async () => {
    if (!copy.manifest) throw copy.error;
    if (copy.problems.length > 0)
      throw new DguardError('corrupt', copy.problems.join('; '), { subject: copy.folder });
  });
  const reading = upTo >= 1 && copy.manifest ? await holdReadLease(copy, all, 'verify', runtime) : undefined;
  if (copy.manifest && copy.manifest.status !== 'failed') {
    if (upTo >= 1) await check('integrity', () => checkSums(copy, all, level, runtime));
    if (upTo >= 2) await check('content', () => checkContent(copy, all, runtime));
    if (upTo >= 3) await check('restore', () => checkRestore(copy, all, runtime));
  }
  await reading?.release();
  const failed = checks.some(({ result }) => result === 'fail');
  const overall = failed ? 'fail' : error ? 'error' : 'pass';
  if (overall !== 'error' && copy.manifest && copy.manifest.status !== 'failed') {
    await storeResult(copy, level, overall, runtime);
  }
  const warnings = copy.foreign.map(
    (name) => `${copy.folder}/${name} is no part of this backup; it is left alone`,
  );
  return {
    id,
    destination: copy.destination.name,
    folder: copy.folder,
    level,
    overall,
    checks,
    warnings,
    ...(error ? { error } : {}),
  };
}

function isBadBytes(error: DguardError): boolean {
  return ['corrupt', 'too_new', 'storage_not_found'].includes(error.code);
}

/** `checksum`: every stored byte; from `content` on, the artifacts' bytes are proven by their blocks instead. */
async function checkSums(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  level: VerifyLevel,
  runtime: Runtime,
): Promise<void> {
  const stored = asStored(copy);
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  const { artifacts } = await content.chain.link(content.chain.own);
  const index = stored.manifest.index!;
  const objects = level === 'checksum' ? artifacts.flatMap(artifactObjects) : [];
  for (const object of [...objects, { name: INDEX_NAME, size: index.size, sha256: index.sha256 }]) {
    const key = `${copy.folder}/${object.name}`;
    const digest = createHash('sha256');
    let size = 0;
    for await (const chunk of stored.storage.get(key, { signal: runtime.signal })) {
      digest.update(chunk);
      size += chunk.length;
      runtime.emit({ type: 'progress', subject: stored.manifest.id, bytesDone: size });
    }
    if (size !== object.size || digest.digest('hex') !== object.sha256) {
      throw new DguardError('corrupt', 'its stored bytes have not the hash that is recorded', {
        subject: key,
      });
    }
  }
  const expected = checksumLines(artifacts, { name: index.name, sha256: index.sha256 });
  const sums = await readObject(
    stored.storage,
    `${copy.folder}/${SUMS_NAME}`,
    expected.length + 1,
    runtime.signal,
  );
  if (sums.toString('utf8') !== expected) {
    throw new DguardError('corrupt', 'does not say what the manifest says', {
      subject: `${copy.folder}/${SUMS_NAME}`,
    });
  }
}

/** `content`: every block of this backup, every block of others that it refers to, every line of the index. */
async function checkContent(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  runtime: Runtime,
): Promise<void> {
  const stored = asStored(copy);
  const { manifest } = stored;
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  const { chain } = content;
  const own = await chain.link(chain.own);
  const subject = `${copy.folder}/${INDEX_NAME}`;
  const totals = own.artifacts.map(() => ({
    offset: 0,
    /** The plain bytes up to the end of each block. */
    ends: [] as number[],
    digest: createHash('sha256'),
  }));

  async function* ownBlocks(): AsyncGenerator<Need<null>> {
    for await (const { line, row, number } of chain.walk(own, 'blocks')) {
      const block = parseBlockLine(line, subject);
      const total = totals[row.artifact ?? -1];
      if (!total || block.offset !== total.offset || (row.block ?? 0) + number !== total.ends.length) {
        throw new DguardError('corrupt', 'the block lines do not follow one another', { subject });
      }
      total.offset += block.stored;
      total.ends.push((total.ends.at(-1) ?? 0) + block.length);
      total.digest.update(block.name, 'hex');
      yield { place: { ...block, link: own, artifact: row.artifact! }, uses: [null] };
    }
  }
  let done = 0;
  for await (const { bytes } of decodeBlocks(ownBlocks(), runtime.signal)) {
    done += bytes.length;
    runtime.emit({ type: 'progress', subject: manifest.id, bytesDone: done });
  }
  for (const [i, artifact] of own.artifacts.entries()) {
    const total = totals[i]!;
    if (
      total.offset !== artifact.stored_size ||
      total.ends.length !== artifact.blocks ||
      total.digest.digest('hex') !== artifact.digest
    ) {
      throw new DguardError('corrupt', 'its blocks are not those that are recorded', {
        subject: `${copy.folder}/${artifact.name}`,
      });
    }
  }
  async function* foreign(): AsyncGenerator<ContentEntry> {
    for await (const entry of content.entries()) {
      if (entry.type === 'table') continue;
      // Own blocks were proven above: what is left is that the slices lie in them.
      for (const slice of entry.slices) if (slice.origin === originOf(manifest.id)) checkSlice(slice);
      const slices = entry.slices.filter(({ origin }) => origin !== originOf(manifest.id));
      if (slices.length > 0) yield { ...entry, slices };
    }
  }
  function checkSlice({ artifact, block, offset, length }: Slice): void {
    const ends = totals[artifact]?.ends ?? [];
    const start = block === 0 ? 0 : (ends[block - 1] ?? Number.NaN);
    const inside = start + offset < (ends[block] ?? 0) && start + offset + length <= (ends.at(-1) ?? 0);
    if (!inside) throw new DguardError('corrupt', 'a slice lies outside of its blocks', { subject });
  }
  for await (const _ of content.readAll(foreign())) runtime.signal.throwIfAborted();
  const engine = await createEngine(manifest.datasource.type, manifest.id);
  const tempDir = await mkdtemp(join(runtime.tempDir, 'dguard-verify-'));
  try {
    const findings = await engine.inspect(content, { tempDir, signal: runtime.signal, onProgress: () => {} });
    if (findings.length > 0)
      throw new DguardError('corrupt', findings.slice(0, 5).join('; '), { subject: manifest.id });
  } finally {
    await rm(tempDir, { recursive: true, force: true });
  }
}

/** `restore`: into a scratch folder, compared with what the manifest recorded, removed afterwards. */
async function checkRestore(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  runtime: Runtime,
): Promise<void> {
  const stored = asStored(copy);
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  const engine = await createEngine(stored.manifest.datasource.type, stored.manifest.id);
  const tempDir = await mkdtemp(join(runtime.tempDir, 'dguard-scratch-'));
  try {
    const outcome = await engine.restore(content, {
      signal: runtime.signal,
      now: runtime.now,
      host: runtime.host,
      tempDir,
      warn: () => {},
      toPath: join(tempDir, 'restored'),
      only: [],
      overwrite: false,
      deleteExtra: false,
      scratch: true,
      dryRun: false,
      privileged: false,
      backupId: stored.manifest.id,
      onProgress: () => {},
    });
    const expected = stored.manifest.facts?.files_count;
    if (expected !== undefined && outcome.filesCount !== undefined && outcome.filesCount !== expected) {
      throw new DguardError('corrupt', `${outcome.filesCount} files were restored, ${expected} are recorded`);
    }
  } catch (error) {
    if (error instanceof DguardError && error.code === 'corrupt') throw error;
    throw toDguardError(error, 'target_failed', { operation: 'test restore', subject: stored.manifest.id });
  } finally {
    await rm(tempDir, { recursive: true, force: true });
  }
}

async function storeResult(
  copy: CatalogEntry,
  level: VerifyLevel,
  result: 'pass' | 'fail',
  runtime: Runtime,
): Promise<void> {
  const manifest = copy.manifest!;
  const references = manifest.references.map(({ id, root_sha256 }) => ({ id, root_sha256 }));
  const fields = { id: manifest.id, manifestBytes: copy.manifestBytes, level, result, references };
  try {
    await putMark(copy.destination.storage, copy.folder, 'verified', fields, runtime);
  } catch (error) {
    const message = `the result of verify could not be stored: ${errorText(error)}`;
    runtime.emit({ type: 'log', level: 'warning', subject: manifest.id, message });
  }
}
