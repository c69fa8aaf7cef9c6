import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { Db } from 'mongodb';
import { DguardError } from '../../../errors.ts';
import type { HostFacts } from '../../../runtime.ts';
import { MARK_COLLECTION } from '../server/names.ts';

/**
 * `new`: a restore is loading; `swap`: its collections are being renamed, to be finished; `revert`: they are
 * being renamed back; `undo`: what a restore replaced; `drop`: an undo copy that is on its way out; `scratch`:
 * a database of a test restore.
 */
export type MarkRole = 'new' | 'swap' | 'revert' | 'undo' | 'drop' | 'scratch';

/** One name of the target, and where what has it, had it and is to have it lies. */
export interface MarkPart {
  readonly name: string;
  /** The loaded collection that comes in; an undo copy on the way back. */
  readonly staged?: string;
  /** Where the one that leaves is kept. */
  readonly undo?: string;
  /** What the names begin with of those that somebody makes between the two renames. */
  readonly stray?: string;
  /** A view comes in, or leaves: its options as Extended JSON. */
  readonly newView?: string;
  readonly oldView?: string;
  /** Loaded under its own name, as the server cannot rename it, into a target that held nothing. */
  readonly inPlace?: boolean;
  /** The server cannot rename it: what would be a rename is a copy, and `undo` is one before the swap begins. */
  readonly copied?: boolean;
}

/**
 * dguard's mark in a database: a document in its collection `__dguard`. Only collections that one names are
 * ever renamed or dropped, and none of these is ever backed up. It is the journal of a swap as well.
 */
export interface Mark {
  readonly _id: string;
  readonly dguard: 1;
  readonly role: MarkRole;
  /** The database that it is about. */
  readonly target: string;
  readonly backupId: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  readonly parts: readonly MarkPart[];
  /** The undo copy that this swap puts back. */
  readonly from?: string;
  /** Of parts that are copied: names whose contents were begun to be replaced, and that were replaced. */
  readonly begun?: readonly string[];
  readonly done?: readonly string[];
  /** Of parts that are loaded in place: names that this restore has made. */
  readonly made?: readonly string[];
  /** It replaced all of the target: going back replaces all of it again. */
  readonly whole?: boolean;
  /** It came beside what was there: going back takes away what it added, even where it replaced nothing. */
  readonly merge?: boolean;
  readonly owner?: MarkOwner;
  /** By the server's clock: until then its owner has said that it lives. */
  readonly leaseUntil?: Date;
}

export interface MarkOwner {
  readonly host: string;
  readonly bootId: string;
  /** As in `HostFacts`. */
  readonly pidNamespace?: string;
  readonly pid: number;
}

export function markOwner({ name, bootId, pidNamespace, pid }: HostFacts): MarkOwner {
  return { host: name, bootId, pidNamespace: pidNamespace ?? '', pid };
}

/** A word that keeps names beside one target apart. */
export function uniqueWord(): string {
  return randomBytes(4).toString('hex');
}

function marks(db: Db) {
  return db.collection<Mark>(MARK_COLLECTION, { writeConcern: { w: 'majority' } });
}

/** All marks of a database, newest first; or the one of that id. */
export async function listMarks(db: Db, id?: string): Promise<Mark[]> {
  const found = await marks(db)
    .find({ dguard: 1, ...(id === undefined ? {} : { _id: id }) })
    .toArray();
  return found.sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : 0));
}

/** Whether the collection of the marks holds what is none. */
export async function holdsOthers(db: Db): Promise<boolean> {
  return (await db.collection(MARK_COLLECTION).findOne({ dguard: { $ne: 1 } })) !== null;
}

export async function insertMark(db: Db, mark: Mark): Promise<void> {
  await marks(db).insertOne(mark);
}

/** Errors: `target_failed` where it is not there any more: without its journal nothing may be moved. */
export async function updateMark(db: Db, id: string, set: Partial<Mark>): Promise<void> {
  const { matchedCount } = await marks(db).updateOne({ _id: id }, { $set: set });
  if (matchedCount === 1) return;
  throw new DguardError('target_failed', `the mark ${id} is gone: somebody else has cleaned up behind it`, {
    operation: 'update mark',
    subject: db.databaseName,
    hint: 'it stood still for too long; nothing further was done: look at the target, then run the command again',
  });
}

/** Removes a mark, and with the last one their collection. */
export async function deleteMark(db: Db, id: string): Promise<void> {
  await marks(db).deleteOne({ _id: id });
  if ((await marks(db).findOne({})) === null) await db.dropCollection(MARK_COLLECTION).catch(() => {});
}

/** Which collections of a database are dguard's own; that of the marks always is, an empty one too. */
export async function ownCollections(db: Db): Promise<{ has(name: string): boolean }> {
  const found = await listMarks(db);
  const parts = found.flatMap((mark) => mark.parts);
  const own = new Set([MARK_COLLECTION, ...parts.flatMap(({ staged, undo }) => [staged, undo])]);
  const strays = parts.flatMap(({ stray }) => (stray === undefined ? [] : [stray]));
  return { has: (name) => own.has(name) || strays.some((stray) => name.startsWith(stray)) };
}

/** Whether collections of the target itself may be missing, or hold a part of what they will. */
export function isMoving({ role, parts }: Mark): boolean {
  if (role === 'swap' || role === 'revert') return true;
  return role === 'new' && parts.some(({ inPlace }) => inPlace === true);
}

/** Is somebody working on it? */
export function isHeld(mark: Mark, host: HostFacts, serverNow: Date): boolean {
  const { owner, leaseUntil } = mark;
  if (owner === undefined || leaseUntil === undefined) return false;
  // In another container the same number is another process.
  const isSeen = Boolean(host.pidNamespace) && owner.pidNamespace === host.pidNamespace;
  if (isSeen && owner.host === host.name && owner.bootId === host.bootId) {
    // Of this very process we know.
    if (owner.pid === host.pid) return HELD.has(mark._id);
    if (!existsSync(`/proc/${owner.pid}`) && existsSync('/proc/self')) return false;
  }
  return leaseUntil.getTime() > serverNow.getTime();
}

const HELD = new Set<string>();
const LEASE_MS = 90_000;
const RENEW_MS = 20_000;

/** When a lease that is taken now ends, by the server's clock. */
export function leaseEnd(serverNow: Date): Date {
  return new Date(serverNow.getTime() + LEASE_MS);
}

/** Says, as long as it is not released, that a mark is worked on: nothing that cleans up takes it away. */
export function holdMark(db: Db, id: string, serverNow: () => Promise<Date>): { release(): void } {
  HELD.add(id);
  const timer = setInterval(() => {
    serverNow()
      .then((now) => updateMark(db, id, { leaseUntil: leaseEnd(now) }))
      .catch(() => {});
  }, RENEW_MS);
  timer.unref();
  return {
    release() {
      clearInterval(timer);
      HELD.delete(id);
    },
  };
}
