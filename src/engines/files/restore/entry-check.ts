import { type ContentEntry, isEntryKind } from '../../../archive/entry.ts';
import { compareEntryPaths, isSafeEntryPath, MAX_PATH_BYTES } from '../../../archive/paths.ts';

/** An entry of a tree, as a files backup holds nothing else. */
export type TreeEntry = Extract<ContentEntry, { type: 'tree' }>;

/**
 * Checks the entries of a backup in their order, as if someone hostile had written them, and says what is
 * wrong with one (undefined: nothing). After this, an entry's path stays below its root, comes once, and has
 * folders alone above it; a hard link names a regular file before it.
 *
 * @param selective some entries were left out by the caller: a hard link's file may be among them
 */
export function createEntryCheck(selective: boolean): (entry: ContentEntry) => string | undefined {
  let previous: string | undefined;
  /** The last entry that nothing may lie below, with a slash. */
  let leaf = '\0';
  /** Files that hard links may name: memory for those with several names only. */
  const linkable = new Map<string, number>();

  return (entry) => {
    if (entry.type !== 'tree') return `is a ${entry.kind}, not part of a tree`;
    const { path, kind } = entry;
    if (!isEntryKind(kind)) return 'is of an unknown kind';
    if (path === '') {
      if (kind !== 'directory' || previous !== undefined)
        return 'the root is not a folder or not the first entry';
    } else if (!isSafeEntryPath(path)) {
      return 'its path is not a safe relative path';
    }
    if (previous !== undefined && compareEntryPaths(previous, path) >= 0)
      return 'comes twice or out of order';
    previous = path;
    if (path.startsWith(leaf)) return 'lies below something that is not a folder';
    if (kind !== 'directory') leaf = `${path}/`;
    if (!isCount(entry.size) || (kind !== 'file' && entry.size !== 0)) return 'its size is impossible';
    if (!isCount(entry.mode) || entry.mode > 0o7777) return 'its mode is impossible';
    if (!isId(entry.uid) || !isId(entry.gid)) return 'its owner is impossible';
    if (kind === 'symlink' && !isLinkTarget(entry.link)) return 'its link target is impossible';
    if (entry.xattrs?.some(({ name }) => !isXattrName(name)))
      return 'an attribute of it has an impossible name';
    if (kind === 'file' && entry.linkGroup !== undefined) linkable.set(path, entry.linkGroup);
    if (kind === 'hardlink') {
      if (entry.link === undefined || !isSafeEntryPath(entry.link))
        return 'its hard link leads out of the backup';
      if (compareEntryPaths(entry.link, path) >= 0) return 'is a hard link to something after it';
      if (!linkable.has(entry.link)) {
        if (!selective) return 'is a hard link to something that is not a file of this backup';
      } else if (linkable.get(entry.link) !== entry.linkGroup) {
        return 'is a hard link to a file of another group';
      }
    }
    return undefined;
  };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** 2^32 - 1 means "leave as it is" to chown(2): nobody's number. */
function isId(value: number): boolean {
  return isCount(value) && value < 0xffffffff;
}

/** XATTR_NAME_MAX of Linux. */
function isXattrName(name: string): boolean {
  return name !== '' && name.length <= 255 && !name.includes('\0');
}

function isLinkTarget(link: string | undefined): boolean {
  return (
    link !== undefined && link !== '' && link.length <= MAX_PATH_BYTES && !/[\0\u0100-\uffff]/.test(link)
  );
}
