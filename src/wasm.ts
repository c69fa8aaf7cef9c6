import { readFileSync } from 'node:fs';

/** WebAssembly that is assembled here, so that it can be read: a module of one function over one memory. */

/** Opcodes and immediates that the bodies share (https://webassembly.github.io/spec/core/binary/). */
const BLOCK = 2;
const LOOP = 3;
export const END = 0x0b;
const BRANCH = 0x0c;
const BRANCH_IF = 0x0d;
export const ADD = 0x6a;
const NOT_GREATER = 0x4d; // compared unsigned
export const NO_RESULT = 0x40;

export const get = (local: number) => [0x20, local];
export const set = (local: number) => [0x21, local];
export const tee = (local: number) => [0x22, local];
/** Of less than 64: it is one byte then. */
export const constant = (value: number) => [0x41, value];
export const loadByte = (offset: number) => [0x2d, 0, offset];
/** local = local + count */
export const advance = (local: number, count: number) => [
  ...get(local),
  ...constant(count),
  ADD,
  ...set(local),
];
/** Repeats `body`, which ends by advancing the local `at`, while `count` more bytes lie below the local `end`. */
export const repeat = (at: number, end: number, count: number, body: readonly number[]) => [
  ...[BLOCK, NO_RESULT, LOOP, NO_RESULT],
  ...[...get(end), ...get(at), ...constant(count - 1), ADD, NOT_GREATER, BRANCH_IF, 1],
  ...[...body, BRANCH, 0, END, END],
];

/** What V8 reserves for a memory. */
const MEMORY_ADDRESSES = 10.5 * 2 ** 30;
/** For threads, which reserve some, too: where that is not to be had, V8 ends the process. */
const OTHER_ADDRESSES = 2 ** 35;

/**
 * Memory of so many pages of 64 KiB. Undefined where the address space is limited (ulimit -v, LimitAS=): V8 reserves
 * 10 GiB of it for each, whatever its size.
 */
export function wasmMemory(pages: number): WebAssembly.Memory | undefined {
  addresses ??= addressSpace();
  if (addresses < OTHER_ADDRESSES + MEMORY_ADDRESSES) return undefined;
  try {
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    addresses -= MEMORY_ADDRESSES;
    return memory;
  } catch {
    return undefined;
  }
}

/** Not given out: those of memories that are garbage by now count as given. */
let addresses: number | undefined;

/** How many bytes of addresses this process may use. */
function addressSpace(): number {
  try {
    const limit = /^Max address space +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

export type WasmFunction = (...parameters: number[]) => number;

/**
 * The function of `parameters` i32 parameters, one i32 local behind them, an i32 result and this body (without its last
 * END). Undefined where this host does not know its instructions.
 */
export function wasmFunction(
  memory: WebAssembly.Memory,
  parameters: number,
  body: readonly number[],
): WasmFunction | undefined {
  const code = [...[1, 1, 0x7f], ...body, END];
  const bytes = Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, parameters, ...new Array<number>(parameters).fill(0x7f), 1, 0x7f]),
    ...section(2, [1, ...name('m'), ...name('m'), 0x02, 0x00, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...name('f'), 0x00, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ]);
  if (!WebAssembly.validate(bytes)) return undefined;
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { m: memory } });
  return instance.exports['f'] as WasmFunction;
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...leb(content.length), ...content];
}

function name(text: string): number[] {
  return [text.length, ...Buffer.from(text)];
}

/** A number below 2^14, as LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, value >> 7];
}
