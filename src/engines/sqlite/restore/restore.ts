import { rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fromText } from '../../../archive/paths.ts';
import { DguardError, throwIfAborted, toDguardError } from '../../../errors.ts';
import { folderOnDisk } from '../../../folders.ts';
import { recordedTables } from '../../recorded-tables.ts';
import type { BackupContent, RestoreOutcome, RestoreRequest, TableFact } from '../../types.ts';
import { createUnit, discardUnit, type SwapUnit, unitState } from '../../undo/unit.ts';
import { requireSpace } from '../database/locate.ts';
import type { SqliteOptions } from '../options.ts';
import { tableMatcher } from '../select.ts';
import { mergeTables } from './merge.ts';
import { type Seized, seize } from './seize.ts';
import { contentBytes, contentFormat, keepOnly, proveStaged, stageDatabase } from './stage.ts';
import { newPath, noteSeizure, recoverDatabase, swapDatabase } from './swap.ts';
import { dropKept } from './swaps.ts';
import { resolveTarget, type Target, targetPath } from './target.ts';

/**
 * Restores a backup to a database file: staged in a marked folder beside the target, proven, swapped in by a
 * rename. What was there before is kept in that folder. Chosen tables of a database that exists are replaced
 * in a copy of it, which is then swapped in just so.
 */
export async function restoreBackup(
  content: BackupContent,
  request: RestoreRequest<SqliteOptions>,
): Promise<RestoreOutcome> {
  if (request.scratch) return await testRestore(content, request);
  if (!request.dryRun) {
    const recovered = await recoverDatabase(await targetPath(request));
    for (const message of recovered) request.warn({ message, partial: false });
  }
  const target = await resolveTarget(request);
  const isMerge = mergesInto(target, content, request);
  if (isMerge && request.deleteExtra) throw keepsOthers(target.path);
  const format = await contentFormat(content);
  const sizeBytes = await contentBytes(content);
  // A reduced database is written once more before the whole one can go.
  const room =
    (request.only.length > 0 ? 2 * sizeBytes : sizeBytes) + (isMerge ? target.existing!.sizeBytes : 0);
  const folder = folderOnDisk(dirname(target.path));
  await requireSpace(folder, room, 'target_failed', 'free some space there, or restore to another disk');
  const recorded = await recordedTables(content);
  if (request.dryRun) return planOnly(target, isMerge, request, format, sizeBytes, recorded);

  let unit: SwapUnit | undefined;
  let seized: Seized | undefined;
  try {
    unit = createUnit([{ path: fromText(target.path), place: 'beside' }], request.backupId, request.now());
    const staged = newPath(unit);
    let tables = await stageAndProve(content, staged, recorded, request);
    await request.prove?.({ path: staged });
    if (isMerge) {
      throwIfAborted(request.signal);
      const chosen = `${staged}-chosen`;
      await rename(staged, chosen);
      // From here on nobody writes to the target: what is copied is what is replaced.
      await noteSeizure(unit, target.path);
      seized = await seize(target.path);
      tables = await mergeTables({ ...request, seized, chosen, merged: staged, tables });
    }
    throwIfAborted(request.signal);
    const { warn } = request;
    const held = seized;
    seized = undefined;
    const { undo } = await swapDatabase({
      unit,
      step: 'swapping',
      target,
      at: request.now(),
      ...(held === undefined ? {} : { seized: held }),
      warn,
    });
    const keep = request.source?.options.undo_keep;
    if (keep !== undefined) dropKept(target.path, keep);
    const { size } = await stat(target.path);
    request.onProgress(size, 1);
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
    seized?.letGo();
    discard(unit);
  }
}

/** Only all of a source may take the place of a database with something in it. */
function mergesInto(target: Target, content: BackupContent, request: RestoreRequest<SqliteOptions>): boolean {
  if (target.existing === undefined || target.existing.sizeBytes === 0) return false;
  const { include_tables = [], exclude_tables = [] } = request.source?.options ?? {};
  const configured = include_tables.length + exclude_tables.length;
  return request.only.length > 0 || !content.whole || content.patterns !== undefined || configured > 0;
}

function keepsOthers(path: string): DguardError {
  const message = 'tables that the backup does not hold are not removed from a database that keeps others';
  return new DguardError('target_refused', message, {
    operation: 'restore',
    subject: path,
    hint: 'drop them by hand, or leave --delete-extra out',
  });
}

async function stageAndProve(
  content: BackupContent,
  staged: string,
  recorded: readonly TableFact[],
  request: RestoreRequest<SqliteOptions>,
): Promise<readonly TableFact[]> {
  let done = 0;
  const onBytes = (count: number) => {
    done += count;
    request.onProgress(done, 0);
  };
  await stageDatabase(content, staged, { signal: request.signal, onBytes });
  if (request.only.length === 0) return await proveStaged(staged, recorded, content.facts.schema_sha256);
  const reduced = `${staged}-tables`;
  const chosen = await keepOnly(staged, reduced, request.only, request.warn);
  if (chosen.path !== staged) await rename(chosen.path, staged);
  const expected = recorded.filter((table) => chosen.kept.includes(table.name));
  return await proveStaged(
    staged,
    expected,
    chosen.path === staged ? content.facts.schema_sha256 : undefined,
  );
}

/** Into a scratch file, proven as for a real restore, removed in any case. */
async function testRestore(
  content: BackupContent,
  request: RestoreRequest<SqliteOptions>,
): Promise<RestoreOutcome> {
  const path = request.toPath ?? join(request.tempDir, 'restored.db');
  let unit: SwapUnit | undefined;
  try {
    await requireSpace(
      dirname(path),
      await contentBytes(content),
      'target_failed',
      'set temp_dir to a larger disk',
    );
    unit = createUnit([{ path: fromText(path), place: 'beside' }], request.backupId, request.now());
    const tables = await stageAndProve(content, newPath(unit), await recordedTables(content), request);
    const { size } = await stat(newPath(unit));
    return { target: path, filesCount: 1, sizeBytes: size, tables };
  } catch (error) {
    throw toDguardError(error, 'target_failed', { operation: 'test restore', subject: path });
  } finally {
    discard(unit);
  }
}

/** What is not kept goes; an error is on its way already, and what is left is marked. */
function discard(unit: SwapUnit | undefined): void {
  try {
    if (unit !== undefined && ['staging', 'done'].includes(unitState(unit))) discardUnit(unit);
  } catch {
    // The next command removes it.
  }
}

function planOnly(
  target: Target,
  isMerge: boolean,
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
    if (isMerge) {
      const names = tables.map(({ name }) => name).join(', ');
      plan.push(`replace in a copy of it the tables ${names}; everything else stays`);
    }
    plan.push(
      `keep it under the mark .${basename(path)}.dguard-undo-${request.backupId} and put the ${isMerge ? 'merged' : 'restored'} database in its place`,
    );
  }
  return { target: target.path, filesCount: 1, sizeBytes, tables, plan };
}
