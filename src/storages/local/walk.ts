import { type Dirent, lstatSync, readdirSync } from 'node:fs';
import { errnoOf } from '../../errors.ts';
import { isKeyPart, MAX_KEY_BYTES } from '../key.ts';
import type { StoredObject } from '../types.ts';

interface Level {
  /** Key of the folder with its final `/`, or empty for the root. */
  readonly prefix: string;
  readonly entries: readonly Entry[];
  next: number;
}
interface Entry {
  readonly name: string;
  readonly isFolder: boolean;
  /** A folder sorts as its name with the `/` of its objects' keys, so that `a-b` comes before `a/b`. */
  readonly sortName: string;
}

/**
 * The objects under `root` whose key starts with `prefix`, ordered by the bytes of the whole key. Only
 * regular files whose key follows the grammar; links are not followed. What vanishes between two looks is
 * left out; any other trouble throws. Yields undefined for an entry that is no object. Synchronous calls are several times
 * faster here than promises: the caller lets the event loop turn from time to time. `after`: only what
 * comes after that key. `onLink` is told of links that are passed over; of the same one maybe again after a resume.
 */
export function* walkObjects(
  root: string,
  prefix: string,
  after = '',
  onLink: (key: string) => void = () => {},
): Generator<StoredObject | undefined, void, undefined> {
  const levels: Level[] = [readLevel(root, prefix, after, onLink)];
  for (;;) {
    const level = levels.at(-1);
    if (level === undefined) return;
    const entry = level.entries[level.next++];
    if (entry === undefined) {
      levels.pop();
    } else if (entry.isFolder) {
      levels.push(readLevel(root, level.prefix + entry.sortName, after, onLink));
      yield undefined;
    } else {
      yield objectAt(root, level.prefix + entry.name);
    }
  }
}

function readLevel(root: string, prefix: string, after: string, onLink: (key: string) => void): Level {
  const entries = readEntries(`${root}/${prefix}`, (name) => onLink(prefix + name));
  // A folder on the way to that key holds what comes after it, and comes before it itself.
  const isLeft = ({ sortName, isFolder }: Entry) =>
    prefix + sortName > after || (isFolder && after.startsWith(prefix + sortName));
  return { prefix, entries: after.startsWith(prefix) ? entries.filter(isLeft) : entries, next: 0 };
}

function readEntries(folder: string, onLink: (name: string) => void): Entry[] {
  let found: Dirent[];
  try {
    found = readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return []; // vanished; the caller looks after the root
    throw error;
  }
  const entries: Entry[] = [];
  for (const entry of found) {
    const { name } = entry;
    const isFolder = entry.isDirectory();
    if (entry.isSymbolicLink() && isKeyPart(name)) onLink(name);
    if (!isKeyPart(name) || !(isFolder || entry.isFile())) continue;
    entries.push({ name, isFolder, sortName: isFolder ? `${name}/` : name });
  }
  // Key characters are ASCII, so the order of code units is the order of bytes.
  return entries.sort((a, b) => (a.sortName < b.sortName ? -1 : 1));
}

function objectAt(root: string, key: string): StoredObject | undefined {
  if (key.length > MAX_KEY_BYTES) return undefined; // its parts were looked at
  const facts = lstatSync(`${root}/${key}`, { throwIfNoEntry: false });
  if (!facts?.isFile()) return undefined;
  return { key, sizeBytes: facts.size, modifiedAt: new Date(facts.mtimeMs) };
}
