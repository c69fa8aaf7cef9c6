import type { BufferPool } from './buffers.ts';
import type { ColumnInfo } from './columns.ts';
import type { RowEncoder } from './row-stream.ts';
import { identifier } from './session.ts';

/** As large as the dump tools make their statements. */
const STATEMENT_BYTES = 1024 * 1024;
/** A statement, and room for the row that makes it full. */
export const INSERT_BUFFER_BYTES = STATEMENT_BYTES + 64 * 1024;

/** What a byte of a text becomes behind a backslash; 0: it stands for itself. */
const ESCAPES = new Uint8Array(256);
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

const HEX = Uint8Array.from(Buffer.from('0123456789ABCDEF'));
const [QUOTE, BACKSLASH, COMMA, OPEN, CLOSE, ZERO, X] = [0x27, 0x5c, 0x2c, 0x28, 0x29, 0x30, 0x78] as const;

/**
 * Encodes rows as INSERT statements, about 1 MiB each: numbers as they are, text quoted, bytes as hexadecimal
 * literals, floating-point numbers quoted (a string becomes exactly the number that it was; -0 as a literal 0).
 */
export function insertEncoder(
  table: string,
  columns: readonly ColumnInfo[],
  pool: BufferPool,
  emit: (chunk: Buffer) => void,
): RowEncoder & { readonly rows: () => number } {
  const names = columns.map(({ name }) => identifier(name)).join(',');
  const head = Buffer.from(`INSERT INTO ${identifier(table)} (${names}) VALUES\n`);
  /** 0: as it is; 1: quoted; 2: hexadecimal. */
  const forms = columns.map(({ kind }) => (kind === 'number' ? 0 : kind === 'binary' ? 2 : 1));
  const count = forms.length;
  let out: Buffer = Buffer.alloc(0);
  let at = 0;
  let rows = 0;

  const flush = () => {
    if (at === 0) return;
    out[at++] = 0x3b;
    out[at++] = 0x0a;
    emit(out.subarray(0, at));
    out = Buffer.alloc(0);
    at = 0;
  };
  return {
    rows: () => rows,
    row(bytes, from, to) {
      // No byte becomes more than two, NULL (one byte) aside, and every value may get `0x` or quotes, and a comma.
      const worst = at + head.length + 2 * (to - from) + 8 * count + 8;
      if (out.length === 0) out = pool.take();
      if (worst > out.length) {
        const larger = Buffer.allocUnsafe(worst + STATEMENT_BYTES);
        out.copy(larger, 0, 0, at);
        out = larger;
      }
      const target = out;
      let put = at;
      if (put === 0) put = head.copy(target);
      else {
        target[put++] = COMMA;
        target[put++] = 0x0a;
      }
      target[put++] = OPEN;
      let pos = from;
      for (let column = 0; column < count; column++) {
        if (column > 0) target[put++] = COMMA;
        let length = bytes[pos++]!;
        if (length === 0xfb) {
          target[put++] = 0x4e;
          target[put++] = 0x55;
          target[put++] = 0x4c;
          target[put++] = 0x4c;
          continue;
        }
        if (length > 0xfb) {
          const width = length === 0xfc ? 2 : length === 0xfd ? 3 : 8;
          length = width === 8 ? Number(bytes.readBigUInt64LE(pos)) : bytes.readUIntLE(pos, width);
          pos += width;
        }
        const end = pos + length;
        const form = forms[column];
        if (form === 0) {
          while (pos < end) target[put++] = bytes[pos++]!;
        } else if (form === 1 || length === 0) {
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
      at = put;
      rows++;
      if (at >= STATEMENT_BYTES) flush();
    },
    end: flush,
  };
}
