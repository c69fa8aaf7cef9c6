/** What a backup holds, as its index records it. */

export const ENTRY_KINDS = [
  'directory',
  'file',
  'symlink',
  'hardlink',
  'fifo',
  'socket',
  'char_device',
  'block_device',
] as const;

export type EntryKind = (typeof ENTRY_KINDS)[number];

export function isEntryKind(value: unknown): value is EntryKind {
  return (ENTRY_KINDS as readonly unknown[]).includes(value);
}

/** Names are byte strings. */
export type EntryXattrs = readonly { readonly name: string; readonly value: Uint8Array }[];

/**
 * One thing in a tree. Paths, link targets, owner names and xattr names are byte strings: JavaScript
 * strings whose char codes are the bytes (`Buffer.toString('latin1')`), so that names that are not UTF-8 survive.
 */
export interface EntryRecord {
  /** Relative, `/`-separated, no empty, `.` or `..` part; empty for the root itself. */
  path: string;
  kind: EntryKind;
  /** Content length of a file, 0 of anything else. */
  size: number;
  /** Nanoseconds since the epoch. */
  mtimeNs: bigint;
  ctimeNs: bigint;
  ino: bigint;
  dev: bigint;
  /** Permission bits with set-id and sticky bits (07777). */
  mode: number;
  uid: number;
  gid: number;
  user?: string;
  group?: string;
  /** Symlink: its target as it stands. Hard link: the path of the entry of this backup that it is another name of. */
  link?: string;
  /** Regular files with several names: a number shared by all of them (the first is kind `file`). */
  linkGroup?: number;
  /** Extended attributes, ACLs among them (`system.posix_acl_access`). */
  xattrs?: EntryXattrs;
  device?: { major: number; minor: number };
  /** Holes at the source: a restore writes no runs of zeros. */
  sparse?: boolean;
  /** SHA-256 (hex) of the content, of files that were read whole. */
  sha256?: string;
  /** It changed while it was read, or was modified within 2 s of it: always read again. */
  unsure?: boolean;
}

/** An entry as read back from a backup's index. */
export type ContentEntry =
  | ({ readonly type: 'tree' } & Readonly<EntryRecord> & { readonly slices: readonly Slice[] })
  | {
      readonly type: 'stream';
      readonly path: string;
      readonly kind: 'stream';
      readonly size: number;
      readonly media: string;
      readonly format: string;
      readonly slices: readonly Slice[];
    }
  | {
      readonly type: 'table';
      readonly path: string;
      readonly kind: 'table';
      readonly member: string;
      readonly table: string;
      readonly rows?: number;
    };

/** A run of bytes in consecutive blocks of one artifact: it starts `offset` bytes into block `block`. */
export interface Slice {
  /** The random part of the id of the backup that stores the blocks. */
  readonly origin: string;
  readonly artifact: number;
  readonly block: number;
  readonly offset: number;
  readonly length: number;
}
