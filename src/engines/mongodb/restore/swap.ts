import type { Db } from 'mongodb';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { document, subdocument, textField } from '../bson/bson.ts';
import { jsonToDocument } from '../bson/ejson-read.ts';
import { documentToJson } from '../bson/ejson-write.ts';
import { insertOf, rawDocuments, rawInsert } from '../server/raw.ts';
import { copyCollection } from './copy.ts';
import { createCollection } from './load.ts';
import { deleteMark, listMarks, type Mark, type MarkPart, updateMark } from './marks.ts';

type Warn = (warning: Warning) => void;

/** What there is by name: of a view its options as Extended JSON, of anything else undefined. */
type Names = Map<string, string | undefined>;

/**
 * Carries a swap out whose mark says `swap`: each collection that leaves gets its undo name, and the one that
 * comes in its name; views leave first and come last. Where it fails, or is interrupted, it is taken back at once: an
 * interrupt must not break the connections. Returns the mark's id where something is kept for undo.
 */
export async function swapCollections(
  db: Db,
  mark: Mark,
  { warn, signal }: { readonly warn: Warn; readonly signal: AbortSignal },
): Promise<string | undefined> {
  try {
    await moveAll(db, mark, warn, signal);
  } catch (error) {
    const reverted = await revertSwap(db, mark, warn).then(
      () => true,
      () => false,
    );
    if (reverted) throwIfAborted(signal);
    throw new DguardError('target_failed', `the collections could not be swapped: ${errorText(error)}`, {
      operation: 'swap',
      subject: db.databaseName,
      hint: reverted ? 'the target is as it was' : 'the next command puts it right: dguard restore --recover',
      cause: error,
    });
  }
  try {
    return await closeSwap(db, mark);
  } catch (error) {
    throw new DguardError('target_failed', `the swap could not be ended: ${errorText(error)}`, {
      operation: 'swap',
      subject: db.databaseName,
      hint: 'the target has its new contents; the next command tidies up: dguard restore --recover',
      cause: error,
    });
  }
}

/** The rest of a swap, however far it came; safe to repeat after any interruption. */
export async function finishSwap(db: Db, mark: Mark, warn: Warn): Promise<string | undefined> {
  await moveAll(db, mark, warn);
  return await closeSwap(db, mark);
}

async function moveAll(db: Db, mark: Mark, warn: Warn, signal?: AbortSignal): Promise<void> {
  const names = await readNames(db);
  for (const { name, oldView, newView } of mark.parts) {
    if (oldView === undefined || oldView === newView) continue;
    if (names.get(name) === oldView) await drop(db, names, name);
  }
  const done = new Set(mark.done);
  for (const part of mark.parts) {
    if (signal !== undefined) throwIfAborted(signal);
    if (part.copied !== true) await moveIn(db, names, part, warn);
    else if (!done.has(part.name)) await copyIn(db, names, mark, { part, done, signal });
  }
  for (const { name, newView } of mark.parts) {
    if (newView === undefined || names.has(name)) continue;
    await createView(db, name, newView);
  }
}

/** From here on nothing is taken back: what a copied one came from goes, and so does the undo copy that came back. */
async function closeSwap(db: Db, mark: Mark): Promise<string | undefined> {
  const names = await readNames(db);
  for (const { copied, staged } of mark.parts)
    if (copied === true && staged !== undefined && names.has(staged)) await drop(db, names, staged);
  if (mark.from !== undefined) await deleteMark(db, mark.from);
  const parts = mark.parts.map(({ staged: _, stray, ...rest }): MarkPart => {
    const written = stray !== undefined && straysOf(names, { name: rest.name, stray }).length > 0;
    return written ? { ...rest, stray } : rest;
  });
  const keeps = mark.merge === true || parts.some((part) => part.undo ?? part.oldView ?? part.stray);
  // Else an undo would go back behind an earlier restore.
  const isUndone =
    keeps || (await listMarks(db)).some(({ role, _id }) => role === 'undo' && _id !== mark._id);
  if (!isUndone) {
    await deleteMark(db, mark._id);
    return undefined;
  }
  await updateMark(db, mark._id, { role: 'undo', parts });
  return mark._id;
}

/** Copies what a swap is going to replace and cannot rename, before it begins. */
export async function keepCopies(db: Db, mark: Mark, signal: AbortSignal): Promise<void> {
  for (const { name, copied, undo } of mark.parts)
    if (copied === true && undo !== undefined) await copyCollection(db, name, undo, signal);
}

async function moveIn(db: Db, names: Names, part: MarkPart, warn: Warn): Promise<void> {
  const { name, staged, undo, stray } = part;
  const there = (other: string | undefined) => other !== undefined && names.has(other);
  if (staged === undefined) {
    if (undo !== undefined && there(name) && !there(undo)) await rename(db, names, name, undo);
    return;
  }
  if (undo !== undefined && there(staged) && there(name) && !there(undo)) await rename(db, names, name, undo);
  if (there(staged)) await renameInto(db, names, staged, name, stray, warn);
}

/** What `moveIn` does, for one that cannot be renamed. Its old contents were copied before. */
async function copyIn(
  db: Db,
  names: Names,
  mark: Mark,
  { part: { name, staged }, done, signal }: CopyIn,
): Promise<void> {
  await updateMark(db, mark._id, { begun: [...done, name] });
  if (staged !== undefined) await copyCollection(db, staged, name, signal);
  else if (names.has(name)) await drop(db, names, name);
  if (staged !== undefined) names.set(name, undefined);
  done.add(name);
  await updateMark(db, mark._id, { done: [...done] });
}

interface CopyIn {
  readonly part: MarkPart;
  /** Names that were copied already. */
  readonly done: Set<string>;
  readonly signal: AbortSignal | undefined;
}

/** How often a name is freed again that an application keeps taking. */
const ATTEMPTS = 50;

/**
 * Gives a collection a name that nothing has any more. An application that writes to that name meanwhile makes a
 * collection of it, which is put aside, as often as that happens.
 */
async function renameInto(
  db: Db,
  names: Names,
  from: string,
  name: string,
  stray: string | undefined,
  warn: Warn,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      if (names.has(name) && stray !== undefined) await putAside(db, names, name, stray, warn);
      return await rename(db, names, from, name);
    } catch (error) {
      const now = await readNames(db);
      if (now.has(name)) names.set(name, now.get(name));
      if (now.has(name) && now.has(from) && stray !== undefined && attempt < ATTEMPTS) continue;
      if (!now.has(name) || !now.has(from) || stray === undefined) throw error;
      throw new DguardError('target_failed', `somebody keeps writing to ${name} while it is swapped`, {
        operation: 'swap',
        subject: db.databaseName,
        hint: 'stop the application, then run the command again',
        cause: error,
      });
    }
  }
}

/** What an application wrote while its collection had left and the new one was not there yet. */
async function putAside(db: Db, names: Names, name: string, stray: string, warn: Warn): Promise<void> {
  let ordinal = 1;
  while (names.has(`${stray}_${ordinal}`)) ordinal++;
  const aside = `${stray}_${ordinal}`;
  await rename(db, names, name, aside);
  const message = `${name} was written to while it was swapped: those documents are in ${aside}`;
  warn({ message, subject: db.databaseName, partial: false });
}

function straysOf(names: Names, { stray }: MarkPart): string[] {
  return stray === undefined ? [] : [...names.keys()].filter((name) => name.startsWith(stray));
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
  const [now] = await listMarks(db, mark._id);
  for (const part of [...mark.parts].reverse()) {
    const { name, staged, undo, stray } = part;
    if (part.copied === true) {
      if (now?.begun?.includes(name) === true) await copyBack(db, names, part);
      continue;
    }
    if (
      staged !== undefined &&
      !names.has(staged) &&
      names.has(name) &&
      (undo === undefined || names.has(undo))
    ) {
      await rename(db, names, name, staged);
    }
    if (undo === undefined || !names.has(undo)) continue;
    await renameInto(db, names, undo, name, stray, warn);
  }
  for (const part of mark.parts)
    for (const stray of straysOf(names, part)) await putBack(db, names, stray, part.name);
  for (const { name, oldView } of mark.parts) {
    if (oldView !== undefined && !names.has(name)) await createView(db, name, oldView);
  }
  await dropLoaded(db, mark);
}

/** What a copied one was before its swap began; nothing, where nothing was there. */
async function copyBack(db: Db, names: Names, { name, undo }: MarkPart): Promise<void> {
  if (undo !== undefined && names.has(undo)) await copyCollection(db, undo, name);
  else if (undo === undefined && names.has(name)) await drop(db, names, name);
}

/** What was written while a collection was away, into that collection, as if it had been there. */
async function putBack(db: Db, names: Names, stray: string, name: string): Promise<void> {
  for (const document of await rawDocuments(db, { find: stray })) {
    await rawInsert(db, name, insertOf([document])).catch((error: unknown) => {
      // It would have been refused then as well.
      if (!/E11000|duplicate key/i.test(errorText(error))) throw error;
    });
  }
  await drop(db, names, stray);
}

/** Drops what a restore had loaded, and its mark. */
export async function dropLoaded(db: Db, mark: Mark): Promise<void> {
  const names = await readNames(db);
  if (mark.from === undefined) {
    const [now] = await listMarks(db, mark._id);
    for (const { name, staged, inPlace } of mark.parts) {
      if (staged !== undefined && names.has(staged)) await drop(db, names, staged);
      if (inPlace !== true || !names.has(name)) continue;
      // Whoever dies after he made it and before he said so leaves it empty; what holds anything is somebody's.
      if (now?.made?.includes(name) === true || (await isEmpty(db, name))) await drop(db, names, name);
    }
  }
  // The target has what these are copies of.
  for (const { copied, undo } of mark.parts)
    if (copied === true && undo !== undefined && names.has(undo)) await drop(db, names, undo);
  await deleteMark(db, mark._id);
}

async function isEmpty(db: Db, name: string): Promise<boolean> {
  return (await rawDocuments(db, { find: name, limit: 1 })).length === 0;
}

/** Drops an undo copy; one that was begun to be dropped is none any more. */
export async function dropUndoCopy(db: Db, mark: Mark): Promise<void> {
  await updateMark(db, mark._id, { role: 'drop' });
  const names = await readNames(db);
  for (const part of mark.parts) {
    for (const name of [part.undo, ...straysOf(names, part)])
      if (name !== undefined && names.has(name)) await drop(db, names, name);
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
