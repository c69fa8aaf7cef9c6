import { ESCAPES, FORM, HEX } from './row-text.ts';

/**
 * The inner loop of the INSERT encoder in WebAssembly, 16 bytes at a time, over all rows that came together: what it
 * takes is most of what a dump costs. Assembled here, so that it can be read and is no binary file. `writeRow` is
 * the same in JavaScript. https://webassembly.github.io/spec/core/binary/instructions.html
 */

/**
 * `encode(pos, end, forms, formsEnd, put, limit, sequence)`: writes whole packets of the text protocol, each with one
 * row, between `pos` and `end` as `(value,…),` and a newline each to `put`, until `put` has reached `limit`; one byte for
 * each column says its form. Stops before a packet that is not whole, has more than `MAX_PACKET_BYTES`, is no row, or has
 * another sequence number than expected. Returns the address behind the last row; where it stopped to read and how many
 * rows it wrote are two numbers at `STATE_AT`. Reads and writes up to 15 bytes more. Traps where a row has not as many
 * values as there are columns.
 */
export type EncodeRows = (
  pos: number,
  end: number,
  forms: number,
  formsEnd: number,
  put: number,
  limit: number,
  sequence: number,
) => number;

/** The memory begins with two tables: what a byte becomes behind a backslash (0: nothing), hexadecimal digits. */
export const STATE_AT = 256 + 16;
/** What the memory begins with. */
export const TABLES_BYTES = STATE_AT + 8;
export const MAX_PACKET_BYTES = 60 * 1024;

type Code = number | readonly Code[];

const [POS, END, FORMS, FORMS_END, PUT, LIMIT, SEQUENCE] = [0, 1, 2, 3, 4, 5, 6] as const;
const [FORM_AT, LENGTH, VALUE_END, BYTE, ROW_END, COUNT, CHUNK] = [7, 8, 9, 10, 11, 12, 13] as const;
const get = (local: number): Code => [0x20, local];
const set = (local: number): Code => [0x21, local];
const tee = (local: number): Code => [0x22, local];
const num = (value: number): Code => [0x41, signed(value)];
const [EQ, NE, LT_U, GT_U, GE_U, EQZ, CTZ] = [0x46, 0x47, 0x49, 0x4b, 0x4f, 0x45, 0x68] as const;
const [ADD, SUB, AND, OR, SHL, SHR_U] = [0x6a, 0x6b, 0x71, 0x72, 0x74, 0x76] as const;
const UNREACHABLE = 0x00;
const add = (local: number, value: number): Code => [get(local), num(value), ADD, set(local)];
const load8 = (offset = 0): Code => [0x2d, 0, unsigned(offset)];
const load16: Code = [0x2f, 0, 0];
const load32 = (offset = 0): Code => [0x28, 0, unsigned(offset)];
const store8: Code = [0x3a, 0, 0];
const store32 = (offset = 0): Code => [0x36, 0, unsigned(offset)];
const put = (value: Code): Code => [get(PUT), value, store8, add(PUT, 1)];
const IF = [0x04, 0x40];
const ELSE = 0x05;
const END_ = 0x0b;
const BLOCK = [0x02, 0x40];
const LOOP = [0x03, 0x40];
const br = (depth: number): Code => [0x0c, depth];
const brIf = (depth: number): Code => [0x0d, depth];
const when = (condition: Code, then: Code, otherwise?: Code): Code => [
  condition,
  IF,
  then,
  otherwise === undefined ? [] : [ELSE, otherwise],
  END_,
];

const vector = (opcode: number): Code => [0xfd, unsigned(opcode)];
const loadVector: Code = [vector(0x00), 0, 0];
const storeVector: Code = [vector(0x0b), 0, 0];
const splat = (value: number): Code => [num(value), vector(0x0f)];
const [V_EQ, V_LT_U, V_OR, V_MASK] = [vector(0x23), vector(0x26), vector(0x50), vector(0x64)];
const isAny = (value: number): Code => [get(CHUNK), splat(value), V_EQ, V_OR];

const length: Code = when(
  [get(LENGTH), num(0xfb), GT_U],
  when(
    [get(LENGTH), num(0xfc), EQ],
    [get(POS), load16, set(LENGTH), add(POS, 2)],
    [get(POS), load32(), num(0xffffff), AND, set(LENGTH), add(POS, 3)],
  ),
);
const remaining: Code = [get(VALUE_END), get(POS), SUB];
const plain: Code = [
  LOOP,
  [get(PUT), get(POS), loadVector, storeVector],
  when([remaining, num(16), GT_U], [add(POS, 16), add(PUT, 16), br(1)]),
  END_,
  [get(PUT), remaining, ADD, set(PUT)],
  [get(VALUE_END), set(POS)],
];
const hex: Code = [
  put(num(0x30)),
  put(num(0x78)),
  BLOCK,
  LOOP,
  [get(POS), get(VALUE_END), GE_U, brIf(1)],
  [get(POS), load8(), set(BYTE)],
  put([get(BYTE), num(4), SHR_U, load8(256)]),
  put([get(BYTE), num(15), AND, load8(256)]),
  [add(POS, 1), br(0)],
  [END_, END_],
];
const quoted: Code = [
  put(num(0x27)),
  BLOCK,
  LOOP,
  // Sixteen bytes are copied at once; then those count before the first that needs a look (or is behind the value).
  [get(PUT), get(POS), loadVector, tee(CHUNK), storeVector],
  [get(CHUNK), splat(0x20), V_LT_U, isAny(0x22), isAny(0x27), isAny(0x5c), V_MASK, set(BYTE)],
  [remaining, set(LENGTH)],
  when([get(LENGTH), num(16), LT_U], [get(BYTE), num(1), get(LENGTH), SHL, OR, set(BYTE)]),
  when([get(BYTE), EQZ], [add(POS, 16), add(PUT, 16), br(1)]),
  [get(BYTE), CTZ, tee(BYTE), get(POS), ADD, set(POS)],
  [get(PUT), get(BYTE), ADD, set(PUT)],
  [get(POS), get(VALUE_END), GE_U, brIf(1)],
  [get(POS), load8(), tee(BYTE), load8(), tee(LENGTH)],
  [IF, put(num(0x5c)), put(get(LENGTH)), ELSE, put(get(BYTE)), END_],
  [add(POS, 1), br(0)],
  [END_, END_],
  put(num(0x27)),
];
const row: Code = [
  [get(FORMS), set(FORM_AT)],
  put(num(0x28)),
  LOOP,
  [get(POS), load8(), set(LENGTH), add(POS, 1)],
  when(
    [get(LENGTH), num(0xfb), EQ],
    [get(PUT), num(0x4c4c554e), store32(), add(PUT, 4)],
    [
      length,
      [get(POS), get(LENGTH), ADD, set(VALUE_END)],
      when([get(VALUE_END), get(ROW_END), GT_U], UNREACHABLE),
      when(
        [get(FORM_AT), load8(), EQZ],
        plain,
        when([get(FORM_AT), load8(), num(FORM.quoted), EQ, get(LENGTH), EQZ, OR], quoted, hex),
      ),
    ],
  ),
  put(num(0x2c)),
  add(FORM_AT, 1),
  [get(FORM_AT), get(FORMS_END), LT_U, brIf(0)],
  END_,
  // In place of the last comma.
  [get(PUT), num(1), SUB, num(0x29), store8],
];
const body: Code = [
  BLOCK,
  LOOP,
  [get(END), get(POS), SUB, num(5), LT_U, brIf(1)],
  [get(POS), load32(), num(0xffffff), AND, tee(LENGTH), num(MAX_PACKET_BYTES), GT_U, brIf(1)],
  [get(LENGTH), EQZ, brIf(1)],
  [get(END), get(POS), SUB, get(LENGTH), num(4), ADD, LT_U, brIf(1)],
  [get(POS), load8(3), get(SEQUENCE), NE, brIf(1)],
  // The end of the rows, or an error.
  [get(POS), load8(4), num(0xfe), GE_U, brIf(1)],
  [add(POS, 4), get(POS), get(LENGTH), ADD, set(ROW_END)],
  row,
  when([get(POS), get(ROW_END), NE], UNREACHABLE),
  put(num(0x2c)),
  put(num(0x0a)),
  add(COUNT, 1),
  [get(SEQUENCE), num(1), ADD, num(0xff), AND, set(SEQUENCE)],
  [get(PUT), get(LIMIT), LT_U, brIf(0)],
  [END_, END_],
  [num(STATE_AT), get(POS), store32()],
  [num(STATE_AT), get(COUNT), store32(4)],
  get(PUT),
  END_,
];

/** The function over a memory whose first `TABLES_BYTES` are its own. */
export function instantiateRowCode(memory: WebAssembly.Memory): EncodeRows {
  const tables = new Uint8Array(memory.buffer, 0, STATE_AT);
  tables.set(ESCAPES, 0);
  tables.set(HEX, 256);
  const code = flat([2, 6, 0x7f, 1, 0x7b, body]);
  const section = (id: number, content: Code) => [id, unsigned(flat(content).length), content];
  const text = (value: string) => [value.length, ...Buffer.from(value)];
  const module = flat([
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    section(1, [1, 0x60, 7, Array(7).fill(0x7f), 1, 0x7f]),
    section(2, [1, text('m'), text('m'), 0x02, 0x00, 0x01]),
    section(3, [1, 0]),
    section(7, [1, text('encode'), 0x00, 0]),
    section(10, [1, unsigned(code.length), code]),
  ]);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module)), {
    m: { m: memory },
  });
  return instance.exports['encode'] as EncodeRows;
}

function flat(code: Code): number[] {
  return typeof code === 'number' ? [code] : code.flatMap(flat);
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}
function signed(value: number): number[] {
  const low = value & 0x7f;
  const rest = value >> 7;
  const done = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
  return done ? [low] : [low | 0x80, ...signed(rest)];
}
