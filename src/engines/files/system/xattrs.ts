import { fromText, isAscii, toBytes } from '../../../archive/paths.ts';
import { errnoOf } from '../../../errors.ts';

/**
 * Extended attributes of an open file or folder, ACLs among them. fs-xattr follows links and knows no
 * descriptors, so everything goes through `/proc/self/fd`, which names what is open and nothing else.
 */
export interface Xattrs {
  /**
   * The attributes of what `fd` is; undefined where there are none (or none that may be read).
   *
   * @param path where `fd` was opened, a byte string: a quick first look at whether there are any
   */
  read(fd: number, device: bigint, path: string): { name: string; value: Uint8Array }[] | undefined;
  /** Throws the system's error. */
  write(fd: number, name: string, value: Uint8Array): void;
  /** All that may be read of the folder that a path leads to, by names as texts. */
  readAt(path: string, device: bigint): [string, Buffer][];
  writeAt(path: string, name: string, value: Buffer): void;
  removeAt(path: string, name: string): void;
}

/** Undefined where this system cannot: not Linux, or the optional package is not installed. */
export async function loadXattrs(): Promise<Xattrs | undefined> {
  if (process.platform !== 'linux') return undefined;
  try {
    const found = await import('fs-xattr');
    const { listAttributesSync, getAttributeSync, setAttributeSync, removeAttributeSync } = found;
    return accessors(listAttributesSync, getAttributeSync, setAttributeSync, removeAttributeSync);
  } catch {
    return undefined;
  }
}

/** What an entry's attributes may take in the index, names and base64 values. */
export const MAX_XATTR_BYTES = 32 * 1024;

/** The size that attributes take in the index. */
export function encodedXattrBytes(xattrs: readonly { name: string; value: Uint8Array }[]): number {
  let bytes = 0;
  for (const { name, value } of xattrs) bytes += name.length + Math.ceil(value.length / 3) * 4 + 32;
  return bytes;
}

function accessors(
  list: (path: string) => string[],
  get: (path: string, name: string) => Buffer,
  set: (path: string, name: string, value: Buffer) => void,
  remove: (path: string, name: string) => void,
): Xattrs {
  /** File systems that have no attributes are asked once. */
  const without = new Set<bigint>();
  const hasNone = (path: string): boolean => {
    try {
      return list(path).length === 0;
    } catch (error) {
      if (isUnsupported(error)) throw error;
      // Renamed since it was opened: the descriptor knows.
      return false;
    }
  };
  return {
    read(fd, device, openedAt) {
      if (without.has(device)) return undefined;
      const path = `/proc/self/fd/${fd}`;
      let names: string[];
      try {
        // Half the time of the way through /proc, and most files have none. Names and values that are
        // recorded come from the descriptor.
        if (isAscii(openedAt) && hasNone(openedAt)) return undefined;
        names = list(path);
      } catch (error) {
        if (isUnsupported(error)) {
          without.add(device);
          return undefined;
        }
        throw error;
      }
      if (names.length === 0) return undefined;
      const found: { name: string; value: Uint8Array }[] = [];
      for (const name of names.sort()) {
        try {
          found.push({ name: fromText(name), value: get(path, name) });
        } catch (error) {
          if (!isNotOurs(error)) throw error;
        }
      }
      return found.length === 0 ? undefined : found;
    },
    write: (fd, name, value) =>
      set(`/proc/self/fd/${fd}`, toBytes(name).toString('utf8'), Buffer.from(value)),
    readAt(path, device) {
      if (without.has(device)) return [];
      const found: [string, Buffer][] = [];
      try {
        for (const name of list(path).sort()) found.push([name, get(path, name)]);
      } catch (error) {
        if (!isNotOurs(error)) throw error;
      }
      return found;
    },
    writeAt: set,
    removeAt: remove,
  };
}

function isUnsupported(error: unknown): boolean {
  const code = errnoOf(error);
  return code === 'ENOTSUP' || code === 'ENOSYS' || code === 'EOPNOTSUPP';
}

/** Gone since it was listed, or in a namespace that this user may not read (`trusted`, `security`). */
function isNotOurs(error: unknown): boolean {
  const code = errnoOf(error);
  return code === 'ENODATA' || code === 'EPERM' || code === 'EACCES' || isUnsupported(error);
}
