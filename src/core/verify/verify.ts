import type { DatasourceConfig } from '../../config/types/datasources.ts';
import { DguardError, errorText, toDguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { CatalogEntry } from '../catalog.ts';
import { putMark } from '../marks.ts';
import { holdReadLease } from '../reading.ts';
import { type CheckName, VERIFY_LEVELS, type VerifyLevel } from '../verified.ts';
import { checkSums } from './checksum.ts';
import { checkCompleteness, checkContent, type EntryCounts } from './content.ts';
import { checkRestore } from './restore.ts';

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

/**
 * Proves one copy of one backup up to a level, and stores the result beside it either way. A check that
 * does not hold is `fail`; what could not be looked at is `error`. `datasource` is where a test restore of a
 * database finds its server.
 */
export async function verifyCopy(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  level: VerifyLevel,
  runtime: Runtime,
  datasource?: DatasourceConfig,
  parallelJobs?: number,
): Promise<VerifyReport> {
  const checks: { name: CheckName; result: 'pass' | 'fail'; message?: string }[] = [];
  const id = copy.manifest?.id ?? copy.folder;
  const upTo = VERIFY_LEVELS.indexOf(level);
  runtime.emit({
    type: 'stage',
    subject: id,
    stage: 'check',
    ...(copy.manifest && level === 'content' ? { totalBytes: copy.manifest.size_bytes } : {}),
  });
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
    if (upTo >= 2) {
      let counts: EntryCounts | undefined;
      await check('content', async () => {
        counts = await checkContent(copy, all, datasource, runtime);
      });
      await check('completeness', async () => checkCompleteness(copy, counts!));
    }
    if (upTo >= 3) await check('restore', () => checkRestore(copy, all, datasource, runtime, parallelJobs));
  }
  await reading?.release();
  const failed = checks.some(({ result }) => result === 'fail');
  const overall = failed ? 'fail' : error ? 'error' : 'pass';
  if (overall !== 'error' && copy.manifest && copy.manifest.status !== 'failed') {
    const check = checks.find(({ result }) => result === 'fail')?.name;
    await storeResult(copy, { level, result: overall, ...(check && { check }) }, runtime);
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

async function storeResult(
  copy: CatalogEntry,
  result: { level: VerifyLevel; result: 'pass' | 'fail'; check?: CheckName },
  runtime: Runtime,
): Promise<void> {
  const manifest = copy.manifest!;
  const references = manifest.references.map(({ id, root_sha256 }) => ({ id, root_sha256 }));
  const fields = { id: manifest.id, manifestBytes: copy.manifestBytes, ...result, references };
  try {
    await putMark(copy.destination.storage, copy.folder, 'verified', fields, runtime);
  } catch (error) {
    const message = `the result of verify could not be stored: ${errorText(error)}`;
    runtime.emit({ type: 'log', level: 'warning', subject: manifest.id, message });
  }
}
