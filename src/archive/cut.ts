import { hash } from 'node:crypto';
import {
  ADD,
  advance,
  constant,
  END,
  get,
  loadByte,
  NO_RESULT,
  repeat,
  tee,
  type WasmFunction,
  wasmFunction,
  wasmMemory,
} from '../wasm.ts';
import { type ChunkerParameters, MAX_BLOCK_BYTES } from './format.ts';

/**
 * Content-defined chunking: a gear hash over the last 32 bytes, h = (h << 1) + G[byte] mod 2^32, ends a
 * block after the byte that makes h < 2^32 / (avg - min), never before `min` bytes nor after `max`.
 * Because only the last 32 bytes decide, hashing starts 32 bytes before `min`.
 */
export interface Cutter {
  /** Where the caller may write next, at least 1 MiB long. Valid until the next call of any method. */
  space(): Buffer;
  /** Takes `count` bytes that were written to the start of `space()`; cuts what is complete. */
  advance(count: number): void;
  /** Ends the current block here, if it has any bytes. */
  cut(): void;
}

const STAGING_BYTES = 2 * MAX_BLOCK_BYTES;
const MIN_SPACE_BYTES = 1024 * 1024;
const PAGE_BYTES = 65_536;

/**
 * A cutter that hands each block to `onBlock` as a view that is valid only during the call.
 * `gear` is 256 32-bit numbers; the default is the format's fixed table.
 */
export function createCutter(
  parameters: ChunkerParameters,
  onBlock: (block: Buffer) => void,
  gear: Uint32Array = gearTable(),
): Cutter {
  const pages = 1 + STAGING_BYTES / PAGE_BYTES;
  const memory = wasmMemory(pages);
  const bytes = memory ? Buffer.from(memory.buffer) : Buffer.allocUnsafeSlow(pages * PAGE_BYTES);
  new Uint32Array(bytes.buffer, 0, 256).set(gear);
  const staging = bytes.subarray(PAGE_BYTES);
  const scan = memory ? instantiateScan(memory) : createScan(bytes, gear);
  const limit = Math.floor(2 ** 32 / (parameters.avg - parameters.min));

  let start = 0; // of the current block in `staging`
  let scanned = 0; // all bytes before this have been looked at
  let end = 0; // of what was written

  function emit(to: number): void {
    onBlock(staging.subarray(start, to));
    start = to;
    scanned = to;
  }

  return {
    space() {
      if (STAGING_BYTES - end < MIN_SPACE_BYTES) {
        staging.copyWithin(0, start, end);
        end -= start;
        scanned -= start;
        start = 0;
      }
      return staging.subarray(end, end + MIN_SPACE_BYTES);
    },
    advance(count) {
      end += count;
      for (;;) {
        const from = Math.max(scanned, start + parameters.min - 1);
        const to = Math.min(end, start + parameters.max);
        if (from < to) {
          const found = scan(PAGE_BYTES + from - 31, PAGE_BYTES + from, PAGE_BYTES + to, limit) - PAGE_BYTES;
          if (found > 0) {
            emit(found);
            continue;
          }
          scanned = to;
        }
        if (end - start < parameters.max) return;
        emit(start + parameters.max);
      }
    },
    cut() {
      if (end > start) emit(end);
    },
  };
}

/** The format's fixed gear table: the first four bytes (little-endian) of SHA-256("dguard gear 1:" + i). */
export function gearTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, i) =>
    hash('sha256', `dguard gear 1:${i}`, 'buffer').readUInt32LE(0),
  );
}

/** Bytes that one turn of a loop looks at: the loop's own cost is shared by as many. */
const UNROLL = 8;

/**
 * The scan in WebAssembly (several times as fast as JavaScript), assembled here so that it can be read.
 * `scan(warm, from, to, limit)`: hashes bytes from address `warm` up to `to`; returns the address after the
 * first byte at or after `from` whose hash is below `limit`, or 0.
 */
function instantiateScan(memory: WebAssembly.Memory): WasmFunction {
  const [WARM, FROM, TO, LIMIT, H] = [0, 1, 2, 3, 4] as const;
  const [IF, RETURN, DROP, LESS, SHIFT_LEFT] = [4, 0x0f, 0x1a, 0x49, 0x74]; // compared unsigned
  const loadWord = [0x28, 2, 0];
  /** h = (h << 1) + gear[byte at warm + offset]; the table lies at address 0. Leaves h on the stack. */
  const hashByte = (offset: number) => [
    ...[...get(H), ...constant(1), SHIFT_LEFT],
    ...[...get(WARM), ...loadByte(offset), ...constant(2), SHIFT_LEFT, ...loadWord],
    ...[ADD, ...tee(H)],
  ];
  const testByte = (offset: number) => [
    ...[...hashByte(offset), ...get(LIMIT), LESS, IF, NO_RESULT],
    ...[...get(WARM), ...constant(offset + 1), ADD, RETURN, END],
  ];
  const turns = Array.from({ length: UNROLL }, (_, offset) => testByte(offset)).flat();
  return wasmFunction(memory, 4, [
    ...repeat(WARM, FROM, 1, [...hashByte(0), DROP, ...advance(WARM, 1)]),
    ...repeat(WARM, TO, UNROLL, [...turns, ...advance(WARM, UNROLL)]),
    ...repeat(WARM, TO, 1, [...testByte(0), ...advance(WARM, 1)]),
    ...constant(0),
  ])!;
}

/** The same scan in JavaScript, for who has no memory for that one. */
function createScan(bytes: Uint8Array, gear: Uint32Array): WasmFunction {
  return (warm, from, to, limit) => {
    let h = 0;
    for (let at = warm!; at < to!; at++) {
      h = (h << 1) + gear[bytes[at]!]!;
      if (at >= from! && h >>> 0 < limit!) return at + 1;
    }
    return 0;
  };
}
