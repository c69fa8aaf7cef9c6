import type { StreamMember, TreeItem, TreeMember } from '../engines/member.ts';
import type { Warning } from '../engines/types.ts';
import { DguardError } from '../errors.ts';
import type { BlockPipeline } from './blocks.ts';
import type { EntryRecord, Slice } from './entry.ts';
import { LARGE_FILE_BYTES } from './format.ts';
import type { IndexWriter } from './index/writer.ts';
import { isPacked, type PackedRun, PLACE_FIELDS, packedTexts } from './packed.ts';
import type { PendingEntries, PendingEntry } from './pending.ts';
import { tarEnd, tarHeader, tarPadding } from './tar/header.ts';

/** Where one member's bytes and entries go. */
export interface MemberSink {
  readonly pipeline: BlockPipeline;
  readonly index: IndexWriter;
  readonly pending: PendingEntries;
  readonly warn: (warning: Warning) => void;
  readonly onFiles: (count: number) => void;
  /** To be awaited now and then: bounds memory, tells how far it got, and hears an abort. */
  readonly breathe: () => Promise<void>;
}

/** Between two looks at whether the pipeline is full: no more than one block is cut in so many bytes. */
const WRITE_BYTES = 256 * 1024;

/** A member of one stream: its bytes as they come. */
export async function writeStream(member: StreamMember, sink: MemberSink): Promise<void> {
  const { pipeline, index, pending } = sink;
  const entry: PendingEntry = {
    start: 0,
    end: Number.MAX_SAFE_INTEGER,
    slices: [],
    held: true,
    write: () => {},
  };
  pending.push(entry);
  for await (const chunk of member.open()) await writeInSteps(chunk, sink);
  pipeline.cut();
  const { path, media, format } = member;
  const size = pipeline.position;
  entry.write = (slices) => index.stream({ path, size, media, format }, slices);
  entry.end = size;
  entry.held = false;
  sink.onFiles(1);
  pending.flush();
}

/** A member that is a tree: a tar. */
export async function writeTree(member: TreeMember, sink: MemberSink): Promise<void> {
  for await (const batch of member.entries()) {
    if (isPacked(batch)) {
      await writePacked(batch.packed, sink);
      continue;
    }
    for (const item of batch) await writeItem(item, sink);
    await sink.breathe();
  }
  sink.pipeline.write(tarEnd());
}

async function writeItem({ entry, content }: TreeItem, sink: MemberSink): Promise<void> {
  const { pipeline, pending } = sink;
  pipeline.write(tarHeader(entry));
  const start = pipeline.position;
  const waiting: PendingEntry = {
    start,
    end: start + (content ? entry.size : 0),
    slices: [],
    held: true,
    write: (slices) => writeEntry(entry, slices, sink),
  };
  pending.push(waiting);
  if (content instanceof Uint8Array) {
    if (content.length !== entry.size)
      throw new DguardError('internal', 'content of another length than its entry');
    if (content.length >= LARGE_FILE_BYTES) pipeline.cut();
    pipeline.write(content);
    if (content.length >= LARGE_FILE_BYTES) pipeline.cut();
  } else if (content) {
    pipeline.cut();
    try {
      for (;;) {
        const read = content.read(pipeline.space());
        if (read === 0) break;
        pipeline.advance(read);
        await sink.breathe();
      }
    } finally {
      if (content.finish().unsure) entry.unsure = true;
    }
    pipeline.cut();
  }
  if (pipeline.position !== waiting.end)
    throw new DguardError('internal', 'content of another length than its entry');
  waiting.held = false;
  pending.flush();
  if (entry.size > 0) pipeline.write(tarPadding(content ? entry.size : 0));
  sink.onFiles(1);
  if (pipeline.full) await sink.breathe();
}

async function writePacked(run: PackedRun, sink: MemberSink): Promise<void> {
  const { pipeline, index, pending } = sink;
  const base = pipeline.position;
  const { heads, paths } = packedTexts(run);
  for (let i = 0; i < run.count; i++) {
    const start = base + run.places[i * PLACE_FIELDS]!;
    const end = start + run.places[i * PLACE_FIELDS + 1]!;
    const size = run.places[i * PLACE_FIELDS + 2]!;
    const write = (slices: readonly Slice[]) => index.treeHead(heads[i]!, paths[i]!, size, slices);
    pending.push({ start, end, slices: [], held: false, write });
  }
  await writeInSteps(run.tar, sink);
  sink.onFiles(run.count);
}

async function writeInSteps(bytes: Uint8Array, { pipeline, breathe }: MemberSink): Promise<void> {
  for (let at = 0; at < bytes.length; at += WRITE_BYTES) {
    pipeline.write(bytes.subarray(at, at + WRITE_BYTES));
    await breathe();
  }
}

function writeEntry(entry: EntryRecord, slices: readonly Slice[], { index, warn }: MemberSink): void {
  if (index.tree(entry, slices)) return;
  const { xattrs: _, ...rest } = entry;
  warn({
    message: 'its extended attributes are too large to be recorded',
    subject: entry.path,
    partial: true,
  });
  index.tree(rest, slices);
}
