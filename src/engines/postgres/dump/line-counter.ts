import {
  ADD,
  advance,
  constant,
  get,
  loadByte,
  repeat,
  set,
  wasmFunction,
  wasmMemory,
} from '../../../wasm.ts';

/** How many line feeds are in some bytes. */
export type LineCounter = (bytes: Uint8Array) => number;

const PAGE_BYTES = 65_536;
/** Stays in a core's own cache. */
const ROOM_BYTES = PAGE_BYTES;
const LINE_FEED = 0x0a;

/** A counter that looks at 48 bytes in one turn; undefined where the host has no such instructions, or not the memory. */
export function createLineCounter(): LineCounter | undefined {
  const memory = wasmMemory(ROOM_BYTES / PAGE_BYTES);
  if (memory === undefined) return undefined;
  const count = countFunction(memory);
  if (count === undefined) return undefined;
  const room = new Uint8Array(memory.buffer);
  return (bytes) => {
    let lines = 0;
    for (let at = 0; at < bytes.length; at += ROOM_BYTES) {
      const piece = bytes.subarray(at, at + ROOM_BYTES);
      room.set(piece);
      lines += count(0, piece.length);
    }
    return lines;
  };
}

/** `count(at, end)`: line feeds at the addresses from `at` up to `end`. */
function countFunction(memory: WebAssembly.Memory) {
  const [AT, TO, LINES] = [0, 1, 2] as const;
  const VECTOR_BYTES = 16;
  const TURN_BYTES = 48;
  const [EQUAL, COUNT_BITS, VECTOR] = [0x46, 0x69, 0xfd];
  const loadVector = (offset: number) => [VECTOR, 0x00, 0, offset];
  const lineFeeds = [VECTOR, 0x0c, ...new Array<number>(VECTOR_BYTES).fill(LINE_FEED)];
  const [equalBytes, highestBits] = [
    [VECTOR, 0x23],
    [VECTOR, 0x64],
  ] as const;
  const countVector = (offset: number) => [
    ...[...get(LINES), ...get(AT), ...loadVector(offset), ...lineFeeds],
    ...[...equalBytes, ...highestBits, COUNT_BITS, ADD, ...set(LINES)],
  ];
  const countByte = [
    ...[...get(LINES), ...get(AT), ...loadByte(0), ...constant(LINE_FEED), EQUAL, ADD, ...set(LINES)],
  ];
  const turn = [0, 16, 32].flatMap(countVector);
  return wasmFunction(memory, 2, [
    ...repeat(AT, TO, TURN_BYTES, [...turn, ...advance(AT, TURN_BYTES)]),
    ...repeat(AT, TO, 1, [...countByte, ...advance(AT, 1)]),
    ...get(LINES),
  ]);
}
