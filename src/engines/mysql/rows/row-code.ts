import { ESCAPES, FORM, HEX } from './row-text.ts';

/**
 * The inner loop of the INSERT encoder in WebAssembly, 16 bytes at a time: four times as fast as JavaScript, and
 * it is most of what a dump costs. Assembled here, so that it can be read and is no binary file. `writeRow` is the same in JavaScript.
 * https://webassembly.github.io/spec/core/binary/instructions.html
 */

/**
 * `encode(pos, forms, formsEnd, put)`: writes one row of the text protocol at `pos` as `(value,…)` to `put`; one byte
 * for each column says its form. Returns the address behind it. Values are below 16 MiB.
 */
export type EncodeRow = (pos: number, forms: number, formsEnd: number, put: number) => number;

/** The memory begins with two tables: what a byte becomes behind a backslash (0: nothing), hexadecimal digits. */
export const TABLES_BYTES = 256 + 16;

type Code = number | readonly Code[];

const [POS, FORMS, FORMS_END, PUT, LENGTH, END, BYTE, CHUNK] = [0, 1, 2, 3, 4, 5, 6, 7] as const;
const get = (local: number): Code => [0x20, local];
const set = (local: number): Code => [0x21, local];
const tee = (local: number): Code => [0x22, local];
const num = (value: number): Code => [0x41, signed(value)];
const [EQ, LT_U, GT_U, GE_U, GE_S, EQZ] = [0x46, 0x49, 0x4b, 0x4f, 0x4e, 0x45] as const;
const [ADD, SUB, AND, OR, SHR_U] = [0x6a, 0x6b, 0x71, 0x72, 0x76] as const;
const add = (local: number, value: number): Code => [get(local), num(value), ADD, set(local)];
const load8 = (offset = 0): Code => [0x2d, 0, unsigned(offset)];
const load16: Code = [0x2f, 0, 0];
const load32: Code = [0x28, 0, 0];
const store8: Code = [0x3a, 0, 0];
const store32: Code = [0x36, 0, 0];
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
const [V_EQ, V_LT_U, V_OR, V_ANY] = [vector(0x23), vector(0x26), vector(0x50), vector(0x53)];
const isAny = (value: number): Code => [get(CHUNK), splat(value), V_EQ, V_OR];

const length: Code = when(
  [get(LENGTH), num(0xfb), GT_U],
  when(
    [get(LENGTH), num(0xfc), EQ],
    [get(POS), load16, set(LENGTH), add(POS, 2)],
    [get(POS), load32, num(0xffffff), AND, set(LENGTH), add(POS, 3)],
  ),
);
const plain: Code = [
  BLOCK,
  LOOP,
  [get(POS), get(END), GE_U, brIf(1)],
  put([get(POS), load8()]),
  [add(POS, 1), br(0)],
  [END_, END_],
];
const hex: Code = [
  put(num(0x30)),
  put(num(0x78)),
  BLOCK,
  LOOP,
  [get(POS), get(END), GE_U, brIf(1)],
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
  // Sixteen bytes of which none needs a backslash (and none is another control character) are copied.
  when(
    [get(END), get(POS), SUB, num(16), GE_S],
    [
      [get(POS), loadVector, tee(CHUNK), splat(0x20), V_LT_U],
      [isAny(0x22), isAny(0x27), isAny(0x5c), V_ANY, EQZ],
      IF,
      [get(PUT), get(CHUNK), storeVector, add(PUT, 16), add(POS, 16), br(2)],
      END_,
    ],
  ),
  [get(POS), get(END), GE_U, brIf(1)],
  [get(POS), load8(), tee(BYTE), load8(), tee(LENGTH)],
  [IF, put(num(0x5c)), put(get(LENGTH)), ELSE, put(get(BYTE)), END_],
  [add(POS, 1), br(0)],
  [END_, END_],
  put(num(0x27)),
];
const body: Code = [
  put(num(0x28)),
  LOOP,
  [get(POS), load8(), set(LENGTH), add(POS, 1)],
  when(
    [get(LENGTH), num(0xfb), EQ],
    [get(PUT), num(0x4c4c554e), store32, add(PUT, 4)],
    [
      length,
      [get(POS), get(LENGTH), ADD, set(END)],
      when(
        [get(FORMS), load8(), EQZ],
        plain,
        when([get(FORMS), load8(), num(FORM.quoted), EQ, get(LENGTH), EQZ, OR], quoted, hex),
      ),
    ],
  ),
  put(num(0x2c)),
  add(FORMS, 1),
  [get(FORMS), get(FORMS_END), LT_U, brIf(0)],
  END_,
  // The last comma.
  [get(PUT), num(1), SUB, num(0x29), store8],
  get(PUT),
  END_,
];

/** The function over a memory whose first `TABLES_BYTES` are its own. */
export function instantiateRowCode(memory: WebAssembly.Memory): EncodeRow {
  const tables = new Uint8Array(memory.buffer, 0, TABLES_BYTES);
  tables.set(ESCAPES, 0);
  tables.set(HEX, 256);
  const code = flat([2, 3, 0x7f, 1, 0x7b, body]);
  const section = (id: number, content: Code) => [id, unsigned(flat(content).length), content];
  const text = (value: string) => [value.length, ...Buffer.from(value)];
  const module = flat([
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    section(1, [1, 0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f]),
    section(2, [1, text('m'), text('m'), 0x02, 0x00, 0x01]),
    section(3, [1, 0]),
    section(7, [1, text('encode'), 0x00, 0]),
    section(10, [1, unsigned(code.length), code]),
  ]);
  const instance = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module)), {
    m: { m: memory },
  });
  return instance.exports['encode'] as EncodeRow;
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
