import type { ContentEntry, EntryRecord } from '../../../src/archive/entry.ts';
import { compareEntryPaths } from '../../../src/archive/paths.ts';
import type { TreeItem } from '../../../src/engines/member.ts';
import type { BackupContent, Dump, SourceRoot } from '../../../src/engines/types.ts';

export interface MemoryItem {
  entry: EntryRecord;
  content?: Uint8Array;
}

/** Reads a dump to its end, as an archive writer would. `step` is how much of a large file is read at once. */
export async function collect(
  dump: Dump,
  step = 300_000,
  between: (path: string, done: number) => void = () => undefined,
): Promise<MemoryItem[]> {
  const items: MemoryItem[] = [];
  for await (const member of dump.members()) {
    if (member.kind !== 'tree') throw new Error('not a tree');
    for await (const batch of member.entries()) {
      for (const { entry, content } of batch) {
        if (content === undefined) {
          items.push({ entry });
        } else if (content instanceof Uint8Array) {
          items.push({ entry, content: Uint8Array.from(content) });
        } else {
          const chunks: Buffer[] = [];
          let done = 0;
          for (;;) {
            const into = Buffer.alloc(step);
            const count = content.read(into);
            if (count === 0) break;
            chunks.push(into.subarray(0, count));
            done += count;
            between(entry.path, done);
          }
          if (content.finish().unsure) entry.unsure = true;
          items.push({ entry, content: Buffer.concat(chunks) });
        }
      }
    }
  }
  return items;
}

/** A backup's content in memory. Chunks are odd sizes, so that nothing may rely on blocks. */
export function memoryContent(
  items: readonly MemoryItem[],
  sources: readonly SourceRoot[],
  filesCount?: number,
): BackupContent {
  const chunkBytes = 99_991;
  const entries = items.map(({ entry, content }, at): ContentEntry => {
    const length = content?.length ?? 0;
    const slices = length === 0 ? [] : [{ origin: 'memory', artifact: 0, block: at, offset: 0, length }];
    return { type: 'tree', ...entry, slices };
  });
  const bytesOf = (entry: ContentEntry): Uint8Array => {
    const slice = entry.type === 'tree' ? entry.slices[0] : undefined;
    return (slice === undefined ? undefined : items[slice.block]!.content) ?? new Uint8Array();
  };
  const content: BackupContent = {
    facts: { consistency: 'none', ...(filesCount === undefined ? {} : { files_count: filesCount }) },
    whole: true,
    sources,
    async *entries(options) {
      const only = options?.only ?? [];
      const named = (path: string) => only.some((name) => path === name || path.startsWith(`${name}/`));
      const matched = entries.filter(({ path }) => named(path));
      for (const entry of entries) {
        const above = entry.path === '' ? '' : `${entry.path}/`;
        if (only.length === 0 || named(entry.path) || matched.some(({ path }) => path.startsWith(above)))
          yield entry;
      }
    },
    entry: async (path) => entries.find((entry) => entry.path === path),
    async *read(entry) {
      const bytes = bytesOf(entry);
      for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
    },
    parts() {
      throw new Error('files are not restored in parts');
    },
    async *readAll(wanted) {
      for await (const entry of wanted) {
        const bytes = bytesOf(entry);
        for (let at = 0; at < bytes.length; at += chunkBytes) {
          const chunk = bytes.subarray(at, at + chunkBytes);
          yield { entry, position: at, bytes: chunk, last: at + chunk.length === bytes.length };
        }
      }
    },
  };
  return content;
}

/** A record with what matters for the test and plausible rest. */
export function record(path: string, more: Partial<EntryRecord> = {}): EntryRecord {
  return {
    path,
    kind: 'file',
    size: 0,
    mtimeNs: 1_700_000_000_000_000_000n,
    ctimeNs: 1_700_000_000_000_000_000n,
    ino: 1n,
    dev: 1n,
    mode: more.kind === 'directory' ? 0o755 : 0o644,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    ...more,
  };
}

export function inOrder(items: readonly MemoryItem[]): boolean {
  return items.every(
    ({ entry }, at) => at === 0 || compareEntryPaths(items[at - 1]!.entry.path, entry.path) < 0,
  );
}

/** Everything about an item, its content read to the end. */
export function flatItem({ entry, content }: TreeItem) {
  if (content === undefined || content instanceof Uint8Array) {
    return { entry, bytes: content && Buffer.from(content).toString('base64') };
  }
  const chunks: Buffer[] = [];
  for (;;) {
    const into = Buffer.alloc(400_000);
    const count = content.read(into);
    if (count === 0) break;
    chunks.push(into.subarray(0, count));
  }
  if (content.finish().unsure) entry.unsure = true;
  return { entry, bytes: Buffer.concat(chunks).toString('base64') };
}

export const folder = (path: string, more: Partial<EntryRecord> = {}): MemoryItem => ({
  entry: record(path, { kind: 'directory', ...more }),
});
export const file = (path: string, text = path, more: Partial<EntryRecord> = {}): MemoryItem => ({
  entry: record(path, { size: text.length, ...more }),
  content: Buffer.from(text),
});
export const symlink = (path: string, link: string): MemoryItem => ({
  entry: record(path, { kind: 'symlink', link }),
});
export const hardlink = (path: string, link: string, linkGroup = 7): MemoryItem => ({
  entry: record(path, { kind: 'hardlink', link, linkGroup }),
});
