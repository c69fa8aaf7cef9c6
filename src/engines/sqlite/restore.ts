import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DguardError, toDguardError } from '../../errors.ts';
import type { BackupContent, RestoreOutcome, RestoreRequest } from '../types.ts';
import { requireSpace } from './locate.ts';
import type { SqliteOptions } from './options.ts';
import { tableMatcher } from './select.ts';
import {
  contentBytes,
  contentFormat,
  keepOnly,
  proveStaged,
  recordedTables,
  stageDatabase,
} from './stage.ts';
import { removeStaged, swapIn } from './swap.ts';
import type { Target } from './target.ts';
import { resolveTarget } from './target.ts';

/**
 * Restores a backup to a database file: staged beside the target, proven, swapped in by a rename. What was
 * there before is kept beside it as `NAME.dguard-undo-ID`.
 */
export async function restoreBackup(
  content: BackupContent,
  request: RestoreRequest<SqliteOptions>,
): Promise<RestoreOutcome> {
  const target = await resolveTarget(request);
  refuseMerge(target, request);
  const format = await contentFormat(content);
  const sizeBytes = await contentBytes(content);
  const folder = dirname(target.path);
  // A reduced database is written once more before the whole one can go.
  const room = request.only.length > 0 ? 2 * sizeBytes : sizeBytes;
  await requireSpace(folder, room, 'target_failed', 'free some space there, or restore to another disk');
  const recorded = await recordedTables(content);
  if (request.dryRun) return planOnly(target, request, format, sizeBytes, recorded);

  const staged = join(folder, `.${basename(target.path)}.dguard-new-${request.backupId}`);
  const reduced = `${staged}-tables`;
  let done = 0;
  const onBytes = (count: number) => {
    done += count;
    request.onProgress(done, 0);
  };
  try {
    // Left by a restore of this backup that was killed; two at once are kept apart by the caller's lock.
    await removeStaged(staged);
    await removeStaged(reduced);
    await stageDatabase(content, staged, { signal: request.signal, onBytes });
    let ready = staged;
    let expected: typeof recorded = recorded;
    if (request.only.length > 0) {
      const chosen = await keepOnly(staged, reduced, request.only, request.warn);
      ready = chosen.path;
      expected = recorded.filter((table) => chosen.kept.includes(table.name));
    }
    const whole = ready === staged;
    const tables = await proveStaged(ready, expected, whole ? content.facts.schema_sha256 : undefined);
    const undo = await swapIn(ready, target, request.backupId, request.warn);
    const { size } = await stat(target.path);
    request.onProgress(done, 1);
    return {
      target: target.path,
      filesCount: 1,
      sizeBytes: size,
      tables,
      ...(undo === undefined ? {} : { undo }),
    };
  } catch (error) {
    throw toDguardError(error, 'target_failed', { operation: 'restore', subject: target.path });
  } finally {
    await removeStaged(staged);
    await removeStaged(reduced);
  }
}

function refuseMerge(target: Target, request: RestoreRequest<SqliteOptions>): void {
  if (request.only.length === 0 || target.existing === undefined || target.existing.sizeBytes === 0) return;
  throw new DguardError(
    'unsupported',
    'single tables of an SQLite backup can be restored to a new file only, not into a database that exists',
    {
      operation: 'restore',
      subject: target.path,
      hint: `restore them with --to-path NEW-FILE, then copy with sqlite3: ATTACH 'NEW-FILE' AS b; INSERT INTO t SELECT * FROM b.t`,
    },
  );
}

function planOnly(
  target: Target,
  request: RestoreRequest<SqliteOptions>,
  format: 'native' | 'jsonl',
  sizeBytes: number,
  recorded: Awaited<ReturnType<typeof recordedTables>>,
): RestoreOutcome {
  const matchers = request.only.map(tableMatcher);
  const tables =
    matchers.length === 0 ? recorded : recorded.filter((table) => matchers.some((is) => is(table.name)));
  const plan = [
    format === 'native'
      ? `write the database file (${sizeBytes} bytes) beside ${target.path} and check it`
      : `build a database from ${sizeBytes} bytes of JSONL beside ${target.path} and check it`,
    `compare ${tables.length} table(s) with what the backup recorded`,
  ];
  if (target.existing === undefined) plan.push(`name it ${target.path}`);
  else {
    const { path } = target;
    plan.push(`lock ${path} and empty its journal into it`);
    plan.push(
      `keep it as ${path}.dguard-undo-${request.backupId} and put the restored database in its place`,
    );
  }
  return { target: target.path, filesCount: 1, sizeBytes, tables, plan };
}
