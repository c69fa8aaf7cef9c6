import { createHash } from 'node:crypto';
import { fromText } from '../../../archive/paths.ts';

/** Collections of dguard's own: the marks, and what a restore keeps beside its target. */
export const MARK_COLLECTION = '__dguard';
export const OWN_PREFIX = '__dg_';

/** How long the names of database and collection may be together, by what answers. */
export function maxNamespaceBytes(product: string, [major = 0, minor = 0]: readonly number[]): number {
  if (product === 'FerretDB') return 235;
  return major > 4 || (major === 4 && minor >= 4) ? 255 : MAX_NAMESPACE_BYTES;
}

/** A namespace of every server has room for this many bytes (before MongoDB 4.4: `database.collection`, 120). */
const MAX_NAMESPACE_BYTES = 120;
const MAX_DATABASE_BYTES = 63;

/** The documents of a time series lie in a collection of this name and its own. */
export const BUCKETS_PREFIX = 'system.buckets.';

/** mongodump's limit for the stem of a file name, and how it shortens what is longer. */
const MAX_STEM_CHARS = 238;
const CUT_STEM_CHARS = 208;

/** What mongodump calls a collection's files, without their endings: Go's url.QueryEscape, cut with a hash. */
export function fileStem(collection: string): string {
  const escaped = encodeURIComponent(collection)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
  if (escaped.length <= MAX_STEM_CHARS) return escaped;
  const hash = createHash('sha1').update(collection).digest('base64url');
  return `${escaped.slice(0, CUT_STEM_CHARS)}%24${hash}`;
}

/** The collection of a file stem; undefined where only its metadata knows the whole name. */
export function stemCollection(stem: string): string | undefined {
  if (stem.length === MAX_STEM_CHARS && stem.includes('%24')) return undefined;
  try {
    return decodeURIComponent(stem.replaceAll('+', '%20'));
  } catch {
    return undefined;
  }
}

/** A member's path in a backup: a byte string. */
export function memberPath(database: string, file: string): string {
  return fromText(`${database}/${file}`);
}

/**
 * A collection beside another: `__dg_undo_1a2b3c4d_users`, cut with a hash where that is too long. It has no dot,
 * as FerretDB renames no collection that has one.
 */
export function besideCollection(
  database: string,
  role: 'new' | 'undo',
  unique: string,
  collection: string,
): string {
  const prefix = `${OWN_PREFIX}${role}_${unique}_`;
  const room = MAX_NAMESPACE_BYTES - Buffer.byteLength(database) - 1 - prefix.length;
  const dotted = collection.includes('.');
  return prefix + cut(collection.replaceAll('.', '_'), room, dotted ? collection : undefined);
}

/** What `besideCollection` calls any. */
export const BESIDE_NAME = /^__dg_(new|undo)_[0-9a-f]{8}_/;

/** A database beside another, for a test restore: `app__dg_scratch_1a2b3c4d`. */
export function scratchDatabase(database: string, unique: string): string {
  const suffix = `__dg_scratch_${unique}`;
  return cut(database, MAX_DATABASE_BYTES - suffix.length) + suffix;
}

/**
 * What collections are called in the scratch database, by their names: those whose namespace would be longer than
 * every server has room for, and what has the name of the marks, get others.
 */
export function scratchNames(database: string, collections: readonly string[]): ReadonlyMap<string, string> {
  const room = MAX_NAMESPACE_BYTES - Buffer.byteLength(database) - 1 - BUCKETS_PREFIX.length;
  const taken = new Set(collections);
  const names = new Map<string, string>();
  let ordinal = 0;
  for (const name of collections) {
    let scratch = name;
    if (name === MARK_COLLECTION || Buffer.byteLength(name) > room) {
      do {
        scratch = `${OWN_PREFIX}long_${ordinal++}`;
      } while (taken.has(scratch));
    }
    names.set(name, scratch);
  }
  return names;
}

/** `of`: what the name stands for, where it is not that itself. */
function cut(name: string, room: number, of?: string): string {
  if (of === undefined && Buffer.byteLength(name) <= room) return name;
  const hash = createHash('sha256')
    .update(of ?? name)
    .digest('hex')
    .slice(0, 8);
  let short = name;
  while (Buffer.byteLength(short) > room - hash.length - 1) short = [...short].slice(0, -1).join('');
  return `${short}_${hash}`;
}

/** A server's own collections: no backup holds them, except the code of `system.js`. */
export function isSystemCollection(name: string): boolean {
  return name.startsWith('system.') && name !== 'system.js';
}

/** Databases of a server's own. */
export const SYSTEM_DATABASES: readonly string[] = ['admin', 'config', 'local'];
