import { DguardError, throwIfAborted } from '../../../errors.ts';
import type { BackupContent, RestoreOutcome, TableFact } from '../../types.ts';
import { documentToJson } from '../bson/ejson-write.ts';
import { databaseSize, describeCollection, storedIn } from '../server/catalog.ts';
import { openServer } from '../server/connection.ts';
import { serverError } from '../server/failures.ts';
import { besideCollection } from '../server/names.ts';
import { keepsEmptyTimestamps, serverNow } from '../server/server-info.ts';
import { compareCatalog, compareDocuments } from './compare.ts';
import { buildIndexes } from './indexes.ts';
import { createCollection, loadPart } from './load.ts';
import {
  holdMark,
  insertMark,
  leaseEnd,
  type Mark,
  type MarkPart,
  markOwner,
  uniqueWord,
  updateMark,
} from './marks.ts';
import { isMovable, type Place, prepare, type Request, targetSource, type Work } from './restore-work.ts';
import { restoreToScratch } from './scratch.ts';
import { dropLoaded, keepCopies, swapCollections } from './swap.ts';

/**
 * Restores a backup to a database: each collection loaded beside its counterpart under a marked name, compared
 * with what was recorded, then renamed in. What was there before is kept as `__dg_undo_…_NAME`.
 */
export async function restoreBackup(content: BackupContent, request: Request): Promise<RestoreOutcome> {
  const source = targetSource(request);
  try {
    const server = await openServer(source, 'write');
    try {
      const work = await prepare(content, request, server);
      if (request.dryRun) return plan(work);
      if (request.scratch) return await restoreToScratch(work, (db, loaded) => loadAll(work, db, loaded));
      return await restoreBeside(work);
    } finally {
      await server.close();
    }
  } catch (error) {
    // That a target was not put back is told, whoever interrupted what.
    const isSwap = error instanceof DguardError && error.operation === 'swap';
    if (!isSwap) throwIfAborted(request.signal);
    throw serverError(error, 'target_failed', 'restore', source.name);
  }
}

async function restoreBeside(work: Work): Promise<RestoreOutcome> {
  const { db, request, server, target } = work;
  const now = () => serverNow(server);
  const mark = await markOf(work, await now());
  throwIfAborted(request.signal);
  server.outlastInterrupt();
  await insertMark(db, mark);
  const held = holdMark(db, mark._id, now);
  let swapping = false;
  try {
    const loaded = mark.parts.flatMap((part) => {
      const found = work.parts.find(({ info }) => info.name === part.name);
      const create = part.staged ?? part.name;
      const into = found && storedIn({ ...found.info, name: create });
      return found === undefined || into === undefined ? [] : [{ part: found, create, into }];
    });
    const made: string[] = [];
    const tables = await loadAll(work, db, loaded, async ({ create }) => {
      if (!mark.parts.some(({ name, inPlace }) => inPlace === true && name === create)) return;
      made.push(create);
      await updateMark(db, mark._id, { made });
    });
    await keepCopies(db, mark, request.signal);
    throwIfAborted(request.signal);
    swapping = true;
    await updateMark(db, mark._id, { role: 'swap' });
    const undo = await swapCollections(db, { ...mark, role: 'swap' }, request);
    const sizeBytes = (await databaseSize(db)) ?? 0;
    return { target, sizeBytes, tables, ...(undo === undefined ? {} : { undo: undoName(undo) }) };
  } finally {
    held.release();
    if (!swapping) await dropQuietly(work, mark);
  }
}

/** What people see of an undo copy: what its collections' names begin with. */
export function undoName(id: string): string {
  return `__dg_undo_${id}`;
}

/** Loads and compares; says which collections the server made other than the backup has them. */
async function loadAll(
  work: Work,
  db: Work['db'],
  places: readonly Place[],
  onCreated: (place: Place) => Promise<void> = async () => {},
): Promise<TableFact[]> {
  const { request, content, target } = work;
  let bytes = 0;
  let done = 0;
  const keepEmptyTimestamps = keepsEmptyTimestamps(work.info);
  const changed = new Set<string>();
  const load = {
    signal: request.signal,
    keepEmptyTimestamps,
    onReplaced: (name: string, count: number) =>
      request.warn({
        message: `${count} document(s) of ${name} are in the backup twice, as they were replaced while it was read; the later ones are restored`,
        subject: target,
        partial: false,
      }),
    ...(keepEmptyTimestamps || work.info.product !== 'MongoDB'
      ? {}
      : { onEmptyTimestamp: (name: string) => void changed.add(name) }),
    onBytes(count: number) {
      bytes += count;
      request.onProgress(bytes, done);
    },
  };
  const indexes = {
    signal: request.signal,
    apart: content.facts.consistency === 'none',
    ...(request.allowDuplicates
      ? { onRelaxed: (message: string) => request.warn({ message, subject: target, partial: true }) }
      : {}),
  };
  const tables: TableFact[] = [];
  const read = { signal: request.signal, readBack: request.scratch };
  for (const place of places) {
    const { part, create, into } = place;
    throwIfAborted(request.signal);
    // To make one that is there already is no error to a server, and it would be somebody else's.
    if ((await describeCollection(db, create)) !== undefined) throw taken(create, target);
    await createCollection(db, create, part.info.options);
    await onCreated(place);
    const print = await loadPart(db, into, part, content, load);
    // Before the indexes: with one of those the server begins to remove what has expired.
    const table = await compareDocuments(db, { part, into, print }, target, read);
    if (table !== undefined) tables.push(table);
    await buildIndexes(db, create, part.info, indexes);
    done++;
  }
  if (changed.size > 0) {
    const message = `this server puts its clock in the place of empty timestamps (before 8.0, 7.0.13, 6.0.17, 5.0.29), in: ${[...changed].slice(0, 10).join(', ')}`;
    request.warn({ message, subject: target, partial: false });
  }
  const differing = await compareCatalog(
    db,
    places.map(({ part, create }) => ({ part, into: create })),
  );
  if (differing.length > 0) {
    const message = `options or indexes do not read like the recorded ones: ${differing.slice(0, 10).join(', ')}`;
    request.warn({ message, subject: target, partial: false });
  }
  return tables;
}

function taken(name: string, subject: string): DguardError {
  return new DguardError('target_failed', `somebody made a collection ${name} meanwhile`, {
    operation: 'restore',
    subject,
    hint: 'stop the application, then restore again: --overwrite replaces it, and keeps it for undo',
  });
}

async function markOf(work: Work, now: Date): Promise<Mark> {
  const { request, target, parts, leaving, replacesAll } = work;
  const id = uniqueWord();
  const beside = (role: 'new' | 'undo', name: string) => besideCollection(target, role, id, name);
  const gone = new Map(leaving.map((info) => [info.name, info]));
  const isFixed = (one: { name: string; type: Work['leaving'][number]['type'] } | undefined) =>
    one !== undefined && one.type !== 'view' && !isMovable(one, work.info);
  const copied = { copied: true };
  const marked: MarkPart[] = parts.map(({ info }) => {
    const { name } = info;
    const old = gone.get(name);
    gone.delete(name);
    const part = { ...leavingPart(old, beside), name, ...(isFixed(old) ? copied : {}) };
    if (info.type === 'view') return { ...part, newView: documentToJson(info.options) };
    if (isFixed(info) && work.existing.length === 0) return { ...part, inPlace: true };
    const come = { ...part, staged: beside('new', name), ...(isFixed(info) ? copied : {}) };
    return 'copied' in come ? come : { ...come, stray: beside('undo', `${name}.stray`) };
  });
  for (const old of gone.values())
    marked.push({ ...leavingPart(old, beside), name: old.name, ...(isFixed(old) ? copied : {}) });
  return {
    _id: id,
    dguard: 1,
    role: 'new',
    target,
    backupId: request.backupId,
    createdAt: request.now().toISOString(),
    parts: marked,
    whole: replacesAll,
    merge: !replacesAll && work.existing.length > 0,
    owner: markOwner(request.host),
    leaseUntil: leaseEnd(now),
  };
}

function leavingPart(
  old: Work['leaving'][number] | undefined,
  beside: (role: 'undo', name: string) => string,
): Omit<MarkPart, 'name'> {
  if (old === undefined) return {};
  if (old.type === 'view') return { oldView: documentToJson(old.options) };
  return { undo: beside('undo', old.name) };
}

async function dropQuietly({ db, request, target }: Work, mark: Mark): Promise<void> {
  try {
    await dropLoaded(db, mark);
  } catch {
    const message = `what was loaded into ${target} could not be removed; it is marked, and goes with: dguard restore --recover`;
    request.warn({ message, subject: target, partial: false });
  }
}

function plan(work: Work): RestoreOutcome {
  const { target, parts, leaving, existing, info } = work;
  const stored = parts.filter(({ entry }) => entry !== undefined);
  const sizeBytes = stored.reduce((sum, { entry }) => sum + entry!.size, 0);
  const lines = [
    `load ${sizeBytes} bytes of ${stored.length} collection(s) into ${target} under marked names (${info.product} ${info.version})`,
    'compare their counts with what the backup recorded, and build their indexes',
  ];
  if (leaving.length > 0)
    lines.push(`keep ${leaving.length} of ${existing.length} collection(s) as __dg_undo_…_NAME`);
  lines.push('rename the new ones to their names');
  const tables = stored.map(({ info: { name }, dumped }) => ({
    name,
    ...(dumped === undefined ? {} : { rows: dumped.documents }),
  }));
  return { target, sizeBytes, tables, plan: lines };
}
