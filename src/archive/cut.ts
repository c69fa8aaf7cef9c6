import { hash } from 'node:crypto';
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
  const memory = new WebAssembly.Memory({ initial: 1 + STAGING_BYTES / PAGE_BYTES });
  new Uint32Array(memory.buffer, 0, 256).set(gear);
  const staging = Buffer.from(memory.buffer, PAGE_BYTES, STAGING_BYTES);
  const scan = instantiateScan(memory);
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

/**
 * The scan in WebAssembly (three times as fast as JavaScript), assembled here byte by byte so that it can
 * be read. `scan(warm, from, to, limit)`: hashes bytes from address `warm` up to `to`; returns the address
 * after the first byte at or after `from` whose hash is below `limit`, or 0.
 */
function instantiateScan(memory: WebAssembly.Memory) {
  const WARM = 0;
  const FROM = 1;
  const TO = 2;
  const LIMIT = 3;
  const H = 4;
  const get = (local: number) => [0x20, local];
  const tee = (local: number) => [0x22, local];
  const constant = (value: number) => [0x41, value];
  const ADD = 0x6a;
  const SHL = 0x74;
  const hashNextByte = [
    // h = (h << 1) + gear[load8(warm) << 2]; the table lies at address 0
    ...get(H),
    ...constant(1),
    SHL,
    ...get(WARM),
    0x2d,
    0,
    0,
    ...constant(2),
    SHL,
    0x28,
    2,
    0,
    ADD,
    ...tee(H),
  ]; // prettier-like grouping: one line per WebAssembly expression
  const stepWarm = [...get(WARM), ...constant(1), ADD, ...tee(WARM)];
  const body = [
    1,
    1,
    0x7f, // one local: i32 h
    0x03,
    0x40, // loop: warm up to `from`, no test
    ...get(WARM),
    ...get(FROM),
    0x49, // warm <u from
    0x04,
    0x40,
    ...hashNextByte,
    0x1a,
    ...stepWarm,
    0x1a,
    0x0c,
    1,
    0x0b,
    0x0b,
    0x03,
    0x40, // loop: test each byte
    ...get(WARM),
    ...get(TO),
    0x49,
    0x04,
    0x40,
    ...hashNextByte,
    ...get(LIMIT),
    0x49, // h <u limit
    0x04,
    0x40,
    ...get(WARM),
    ...constant(1),
    ADD,
    0x0f,
    0x0b,
    ...stepWarm,
    0x1a,
    0x0c,
    1,
    0x0b,
    0x0b,
    ...constant(0),
    0x0b,
  ];
  const section = (id: number, content: number[]) => [id, content.length, ...content];
  const name = (text: string) => [text.length, ...Buffer.from(text)];
  const module = Uint8Array.from([
    0x00,
    0x61,
    0x73,
    0x6d,
    0x01,
    0x00,
    0x00,
    0x00,
    ...section(1, [1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f]),
    ...section(2, [1, ...name('m'), ...name('m'), 0x02, 0x00, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('scan'), 0x00, 0]),
    ...section(10, [1, body.length, ...body]),
  ]);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module), { m: { m: memory } });
  return instance.exports['scan'] as (warm: number, from: number, to: number, limit: number) => number;
}
