/** How the values of a column stand in SQL: as they are, quoted, or as a hexadecimal literal. */
export const FORM = { plain: 0, quoted: 1, hex: 2 } as const;

/** What a byte of a text becomes behind a backslash; 0: it stands for itself. */
export const ESCAPES = new Uint8Array(256);
for (const [byte, escaped] of [
  [0x00, '0'],
  [0x0a, 'n'],
  [0x0d, 'r'],
  [0x1a, 'Z'],
  [0x22, '"'],
  [0x27, "'"],
  [0x5c, '\\'],
] as const)
  ESCAPES[byte] = escaped.charCodeAt(0);

export const HEX = Uint8Array.from(Buffer.from('0123456789ABCDEF'));
const [QUOTE, BACKSLASH, COMMA, OPEN, CLOSE, ZERO, X] = [0x27, 0x5c, 0x2c, 0x28, 0x29, 0x30, 0x78] as const;

/**
 * How much room a row needs: no byte becomes more than two, NULL (one byte) aside, and every value may get `0x` or
 * quotes, and a comma.
 */
export function roomForRow(payloadBytes: number, columns: number): number {
  return 2 * payloadBytes + 8 * columns + 8;
}

/** Writes one row of the text protocol, which begins at `from`, as `(value,…)`. Returns the place behind it. */
export function writeRow(
  target: Buffer,
  start: number,
  bytes: Buffer,
  from: number,
  forms: Uint8Array,
): number {
  let put = start;
  let pos = from;
  target[put++] = OPEN;
  for (let column = 0; column < forms.length; column++) {
    if (column > 0) target[put++] = COMMA;
    let length = bytes[pos++]!;
    if (length === 0xfb) {
      put += target.write('NULL', put, 'latin1');
      continue;
    }
    if (length > 0xfb) {
      const width = length === 0xfc ? 2 : length === 0xfd ? 3 : 8;
      length = width === 8 ? Number(bytes.readBigUInt64LE(pos)) : bytes.readUIntLE(pos, width);
      pos += width;
    }
    const end = pos + length;
    const form = forms[column];
    if (form === FORM.plain) {
      while (pos < end) target[put++] = bytes[pos++]!;
    } else if (form === FORM.quoted || length === 0) {
      target[put++] = QUOTE;
      while (pos < end) {
        const byte = bytes[pos++]!;
        const escaped = ESCAPES[byte]!;
        if (escaped === 0) target[put++] = byte;
        else {
          target[put++] = BACKSLASH;
          target[put++] = escaped;
        }
      }
      target[put++] = QUOTE;
    } else {
      target[put++] = ZERO;
      target[put++] = X;
      while (pos < end) {
        const byte = bytes[pos++]!;
        target[put++] = HEX[byte >> 4]!;
        target[put++] = HEX[byte & 15]!;
      }
    }
  }
  target[put++] = CLOSE;
  return put;
}

/** Throws where a row has not as many values as there are columns: what it would be written as is none of the table's. */
export function requireShape(bytes: Buffer, from: number, to: number, columns: number): void {
  let pos = from;
  for (let column = 0; column < columns && pos < to; column++) {
    const length = bytes[pos++]!;
    if (length < 0xfb) pos += length;
    else if (length === 0xfc) pos += 2 + bytes.readUInt16LE(pos);
    else if (length === 0xfd) pos += 3 + bytes.readUIntLE(pos, 3);
    else if (length > 0xfd) pos += 8 + Number(bytes.readBigUInt64LE(pos));
    if (column === columns - 1 && pos === to) return;
  }
  throw new Error(WRONG_SHAPE);
}
export const WRONG_SHAPE = 'the server sent a row that has not as many values as there are columns';
