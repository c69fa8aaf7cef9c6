import { hash } from 'node:crypto';
import { DguardError } from '../errors.ts';
import { readRange } from '../storages/read.ts';
import type { BlockPlace, Link } from './chain.ts';
import type { Codec, HashedBlock } from './codecs/types.ts';
import { corrupt } from './format.ts';
import { artifactObjects } from './objects.ts';
import { borrowRing } from './ring.ts';

/** A block that somebody needs, with what they need it for. */
export interface Need<T> {
  readonly place: BlockPlace;
  readonly uses: readonly T[];
}

/** How far ahead blocks are read and decoded. */
interface Ahead {
  /** Of one request, as stored. */
  readonly requestBytes: number;
  /** Read and not yet decoded; more is memory of its own. */
  readonly ringBytes: number;
  /** Decoded or being decoded at once: bounds memory, keeps the cores busy. */
  readonly windowBlocks: number;
}

const MiB = 1024 * 1024;
const AHEAD: Ahead = { requestBytes: 2 * MiB, ringBytes: 12 * MiB, windowBlocks: 6 };
/** Blocks that nobody wants take no room once they are decoded. */
const AHEAD_UNWANTED: Ahead = {
  requestBytes: 4 * MiB,
  ringBytes: 20 * MiB,
  windowBlocks: 14,
};
/** What one request decodes to at the most: blocks of zeros are tiny as stored. */
const REQUEST_PLAIN_BYTES = 8 * MiB;

/**
 * Reads, decodes and checks blocks: neighbours in one request, several decoded at once, delivered in the
 * order asked for, each valid until the next is asked for. Nothing comes out before its hash held. Errors:
 * `corrupt` naming the object.
 */
export async function* decodeBlocks<T>(
  needs: AsyncIterable<Need<T>>,
  signal?: AbortSignal,
): AsyncGenerator<{ need: Need<T>; bytes: Uint8Array }> {
  for await (const { need, block } of decodeAll(needs, true, signal)) {
    yield { need, bytes: block.bytes! };
    block.release?.();
  }
}

/** As `decodeBlocks`, for those who want to know only that each block is what it should be. */
export async function* proveBlocks<T>(
  needs: AsyncIterable<Need<T>>,
  signal?: AbortSignal,
): AsyncGenerator<Need<T>> {
  for await (const { need } of decodeAll(needs, false, signal)) yield need;
}

async function* decodeAll<T>(
  needs: AsyncIterable<Need<T>>,
  wanted: boolean,
  signal?: AbortSignal,
): AsyncGenerator<{ need: Need<T>; block: HashedBlock }> {
  const window: { need: Need<T>; block: Promise<HashedBlock>; read?: () => void }[] = [];
  const ahead = wanted ? AHEAD : AHEAD_UNWANTED;
  /** Of requests whose blocks are not all delivered. */
  let aheadBytes = 0;
  const { ring, giveBack } = borrowRing(ahead.ringBytes);
  for await (const group of groupNeighbours(needs, ahead)) {
    const first = group[0]!.place;
    const last = group.at(-1)!.place;
    const length = last.offset + last.stored - first.offset;
    // Where threads decode, nothing of what was read is kept, and shared memory need not be copied for them.
    const room = first.link.codec.decompressHashed && ring.take(length);
    const request = readArtifact(first.link, first.artifact, first.offset, length, signal, room);
    for (const need of group) {
      const { place } = need;
      const start = place.offset - first.offset;
      const block = request.then((read) => decode(place, read.subarray(start, start + place.stored), wanted));
      block.catch(() => {});
      const read = () => {
        aheadBytes -= length;
        if (room) ring.giveBack();
      };
      window.push({ need, block, ...(need.place === last && { read }) });
    }
    aheadBytes += length;
    // Only threads give a decoded block's memory back at once.
    const { windowBlocks } = first.link.codec.decompressHashed ? ahead : AHEAD;
    while (window.length > windowBlocks || (window.length > 1 && aheadBytes > ahead.ringBytes))
      yield* oldest();
  }
  while (window.length > 0) yield* oldest();
  // Not where somebody stopped before: what was asked for may still be written to it.
  giveBack();

  async function* oldest() {
    const { need, block, read } = window.shift()!;
    const done = await block;
    read?.();
    yield { need, block: done };
  }
}

/** The stored bytes `[offset, offset + length)` of an artifact, across its parts. */
async function readArtifact(
  link: Link,
  artifact: number,
  offset: number,
  length: number,
  signal?: AbortSignal,
  room?: Buffer,
): Promise<Buffer> {
  const entry = link.artifacts[artifact];
  if (!entry) throw corrupt(link.backup.folder, `there is no artifact ${artifact}`);
  if (offset + length > entry.stored_size) {
    throw corrupt(`${link.backup.folder}/${entry.name}`, 'a block lies outside of its artifact');
  }
  const pieces: Buffer[] = [];
  let start = 0;
  for (const object of artifactObjects(entry)) {
    const from = Math.max(offset, start);
    const to = Math.min(offset + length, start + object.size);
    if (from < to) {
      const rest = room?.subarray(from - offset);
      const key = `${link.backup.folder}/${object.name}`;
      try {
        pieces.push(await readRange(link.backup.storage, key, from - start, to - from, signal, rest));
      } catch (error) {
        // The manifest names it: without it the backup is as damaged as with another one in its place.
        if (!(error instanceof DguardError) || error.code !== 'storage_not_found') throw error;
        throw corrupt(key, 'is missing', error);
      }
    }
    start += object.size;
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
}

/** One block out of its stored bytes, checked; without them where they are not wanted and need not lie here. */
async function decode(place: BlockPlace, stored: Uint8Array, wanted: boolean): Promise<HashedBlock> {
  const { codec } = place.link;
  const subject = objectsOf(place);
  let block: HashedBlock;
  try {
    block = await (codec.decompressHashed?.(stored, place.length, wanted) ?? hashed(codec, stored, place));
  } catch (cause) {
    if (cause instanceof DguardError) throw cause; // not the bytes' fault
    throw corrupt(subject, `the block at byte ${place.offset} cannot be decompressed`, cause);
  }
  if (block.length !== place.length || block.sha256 !== place.name) {
    throw corrupt(subject, `the block at byte ${place.offset} has not the hash that is recorded for it`);
  }
  return block;
}

async function hashed(codec: Codec, stored: Uint8Array, place: BlockPlace): Promise<HashedBlock> {
  const bytes = await codec.decompress(stored, place.length);
  return { bytes, length: bytes.length, sha256: hash('sha256', bytes, 'hex') };
}

/** The object that holds a block, or the parts that do. */
function objectsOf({ link, artifact, offset, stored }: BlockPlace): string {
  const known = link.artifacts[artifact];
  let end = 0;
  const names = (known ? artifactObjects(known) : []).flatMap(({ name, size }) => {
    const start = end;
    end += size;
    return start < offset + stored && end > offset ? [name] : [];
  });
  return `${link.backup.folder}/${names.join(' and ') || artifact}`;
}

async function* groupNeighbours<T>(
  needs: AsyncIterable<Need<T>>,
  { requestBytes }: Ahead,
): AsyncGenerator<Need<T>[]> {
  let group: Need<T>[] = [];
  let bytes = 0;
  let plainBytes = 0;
  for await (const need of needs) {
    const last = group.at(-1)?.place;
    const next = need.place;
    const adjacent =
      last &&
      last.link === next.link &&
      last.artifact === next.artifact &&
      last.offset + last.stored === next.offset &&
      bytes + next.stored <= requestBytes &&
      plainBytes + next.length <= REQUEST_PLAIN_BYTES;
    if (group.length > 0 && !adjacent) {
      yield group;
      group = [];
      bytes = 0;
      plainBytes = 0;
    }
    group.push(need);
    bytes += next.stored;
    plainBytes += next.length;
  }
  if (group.length > 0) yield group;
}
