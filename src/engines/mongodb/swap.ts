import type { Db } from 'mongodb';
import { DguardError, errorText } from '../../errors.ts';
import type { Warning } from '../types.ts';
import { document, subdocument, textField } from './bson.ts';
import { jsonToDocument } from './ejson-read.ts';
import { documentToJson } from './ejson-write.ts';
import { createCollection } from './load.ts';
import { deleteMark, type Mark, type MarkPart, updateMark } from './marks.ts';
import { rawDocuments } from './raw.ts';

type Warn = (warning: Warning) => void;

/** What there is by name: of a view its options as Extended JSON, of anything else undefined. */
type Names = Map<string, string | undefined>;

/**
 * Carries a swap out whose mark says `swap`: each collection that leaves gets its undo name, and the one that
 * comes in its name; views leave first and come last. Where it fails it is taken back. Returns the mark's id
 * where something is kept for undo.
 */
export async function swapCollections(db: Db, mark: Mark, warn: Warn): Promise<string | undefined> {
  try {
    return await finishSwap(db, mark, warn);
  } catch (error) {
    const reverted = await revertSwap(db, mark, warn).then(
      () => true,
      () => false,
    );
    throw new DguardError('target_failed', `the collections could not be swapped: ${errorText(error)}`, {
      operation: 'swap',
      subject: db.databaseName,
      hint: reverted ? 'the target is as it was' : 'the next command puts it right: dguard restore --recover',
      cause: error,
    });
  }
}

/** The rest of a swap, however far it came; safe to repeat after any interruption. */
export async function finishSwap(db: Db, mark: Mark, warn: Warn): Promise<string | undefined> {
  const names = await readNames(db);
  for (const { name, oldView, newView } of mark.parts) {
    if (oldView === undefined || oldView === newView) continue;
    if (names.get(name) === oldView) await drop(db, names, name);
  }
  for (const part of mark.parts) await moveIn(db, names, part, warn);
  for (const { name, newView } of mark.parts) {
    if (newView === undefined || names.has(name)) continue;
    await createView(db, name, newView);
  }
  if (mark.from !== undefined) await deleteMark(db, mark.from);
  const kept = mark.parts.some(({ undo, oldView }) => undo !== undefined || oldView !== undefined);
  if (!kept) {
    await deleteMark(db, mark._id);
    return undefined;
  }
  const now = await readNames(db);
  const parts = mark.parts.map(({ staged: _, stray, ...rest }) =>
    stray !== undefined && now.has(stray) ? { ...rest, stray } : rest,
  );
  await updateMark(db, mark._id, { role: 'undo', parts });
  return mark._id;
}

async function moveIn(db: Db, names: Names, part: MarkPart, warn: Warn): Promise<void> {
  const { name, staged, undo, stray } = part;
  const there = (other: string | undefined) => other !== undefined && names.has(other);
  if (staged === undefined) {
    if (undo !== undefined && there(name) && !there(undo)) await rename(db, names, name, undo);
    return;
  }
  while (there(staged)) {
    if (undo !== undefined && there(name) && !there(undo)) await rename(db, names, name, undo);
    else if (there(name)) await putAside(db, names, name, stray, warn);
    try {
      await rename(db, names, staged, name);
    } catch (error) {
      // Somebody wrote to that name just now, which made a collection of it.
      const now = await readNames(db);
      if (!now.has(name) || !now.has(staged) || now.has(stray ?? '')) throw error;
      names.set(name, now.get(name));
    }
  }
}

/** What an application wrote while its collection had left and the new one was not there yet. */
async function putAside(
  db: Db,
  names: Names,
  name: string,
  stray: string | undefined,
  warn: Warn,
): Promise<void> {
  if (stray === undefined || names.has(stray)) {
    throw new DguardError('target_failed', `somebody keeps writing to ${name} while it is swapped`, {
      operation: 'swap',
      subject: db.databaseName,
      hint: 'stop the application, then restore again',
    });
  }
  await rename(db, names, name, stray);
  const message = `${name} was written to while it was swapped: those documents are in ${stray}`;
  warn({ message, subject: db.databaseName, partial: false });
}

/**
 * Puts a target back, however far its swap came; safe to repeat. What was loaded for it is dropped, an undo
 * copy that was on its way stays one.
 */
export async function revertSwap(db: Db, mark: Mark, warn: Warn): Promise<void> {
  await updateMark(db, mark._id, { role: 'revert' });
  const names = await readNames(db);
  for (const { name, oldView, newView } of mark.parts) {
    if (newView === undefined || oldView === newView) continue;
    if (names.get(name) === newView) await drop(db, names, name);
  }
  for (const { name, staged, undo, stray } of [...mark.parts].reverse()) {
    if (
      staged !== undefined &&
      !names.has(staged) &&
      names.has(name) &&
      (undo === undefined || names.has(undo))
    ) {
      await rename(db, names, name, staged);
    }
    if (undo === undefined || !names.has(undo)) continue;
    if (names.has(name)) await putAside(db, names, name, stray, warn);
    await rename(db, names, undo, name);
  }
  for (const { name, oldView } of mark.parts) {
    if (oldView !== undefined && !names.has(name)) await createView(db, name, oldView);
  }
  await dropLoaded(db, mark);
}

/** Drops what a restore had loaded, and its mark. */
export async function dropLoaded(db: Db, mark: Mark): Promise<void> {
  const names = await readNames(db);
  if (mark.from === undefined) {
    for (const { name, staged, inPlace } of mark.parts) {
      if (staged !== undefined && names.has(staged)) await drop(db, names, staged);
      if (inPlace === true && names.has(name)) await drop(db, names, name);
    }
  }
  await deleteMark(db, mark._id);
}

/** Drops an undo copy; one that was begun to be dropped is none any more. */
export async function dropUndoCopy(db: Db, mark: Mark): Promise<void> {
  await updateMark(db, mark._id, { role: 'drop' });
  const names = await readNames(db);
  for (const { undo, stray } of mark.parts) {
    for (const name of [undo, stray]) if (name !== undefined && names.has(name)) await drop(db, names, name);
  }
  await deleteMark(db, mark._id);
}

export async function readNames(db: Db): Promise<Names> {
  const names: Names = new Map();
  for (const raw of await rawDocuments(db, { listCollections: 1, cursor: {} })) {
    const options = subdocument(raw, 'options') ?? document([]);
    const isView = textField(raw, 'type') === 'view';
    names.set(textField(raw, 'name') ?? '', isView ? documentToJson(options) : undefined);
  }
  return names;
}

async function rename(db: Db, names: Names, from: string, to: string): Promise<void> {
  await db.client.db('admin').command({
    renameCollection: `${db.databaseName}.${from}`,
    to: `${db.databaseName}.${to}`,
  });
  names.set(to, names.get(from));
  names.delete(from);
}

async function drop(db: Db, names: Names, name: string): Promise<void> {
  await db.command({ drop: name });
  names.delete(name);
}

async function createView(db: Db, name: string, options: string): Promise<void> {
  await createCollection(db, name, jsonToDocument(options));
}
