import type { BufferPool } from '../rows/buffers.ts';
import type { RowEncoder } from '../rows/row-packets.ts';
import type { ColumnInfo } from '../server/columns.ts';
import { columnForm } from './jsonl-document.ts';

const CHUNK_BYTES = 1024 * 1024;
export const JSONL_BUFFER_BYTES = CHUNK_BYTES + 64 * 1024;

/** What a byte of a string becomes in JSON; undefined: it stands for itself. */
const ESCAPES: readonly (Buffer | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x20 && byte !== 0x22 && byte !== 0x5c) return undefined;
  return Buffer.from(JSON.stringify(String.fromCharCode(byte)).slice(1, -1));
});
const NULL = Buffer.from('null');

/** Encodes rows as lines of JSON, their keys in the order of the columns. */
export function jsonlEncoder(
  columns: readonly ColumnInfo[],
  pool: BufferPool,
  emit: (chunk: Buffer) => void,
): RowEncoder & { readonly rows: () => number } {
  const keys = columns.map(({ name }, at) => Buffer.from(`${at === 0 ? '{' : ','}${JSON.stringify(name)}:`));
  const forms = columns.map(columnForm);
  const keyBytes = keys.reduce((sum, key) => sum + key.length, 0);
  let out: Buffer = Buffer.alloc(0);
  let at = 0;
  let rows = 0;
  const flush = () => {
    if (at === 0) return;
    emit(out.subarray(0, at));
    out = Buffer.alloc(0);
    at = 0;
  };
  return {
    rows: () => rows,
    row(bytes, from, to) {
      // `\u0000` is the longest that a byte becomes; every value may get quotes, padding or be null.
      const worst = at + keyBytes + 6 * (to - from) + 8 * keys.length + 8;
      if (out.length === 0) out = pool.take();
      if (worst > out.length) {
        const larger = Buffer.allocUnsafe(worst + CHUNK_BYTES);
        out.copy(larger, 0, 0, at);
        out = larger;
      }
      let put = at;
      let pos = from;
      for (const [column, key] of keys.entries()) {
        put += key.copy(out, put);
        let length = bytes[pos++]!;
        if (length === 0xfb) {
          put += NULL.copy(out, put);
          continue;
        }
        if (length > 0xfb) {
          const width = length === 0xfc ? 2 : length === 0xfd ? 3 : 8;
          length = width === 8 ? Number(bytes.readBigUInt64LE(pos)) : bytes.readUIntLE(pos, width);
          pos += width;
        }
        const end = pos + length;
        const form = forms[column];
        if (form === 'number' || form === 'float') {
          while (pos < end) out[put++] = bytes[pos++]!;
          continue;
        }
        out[put++] = 0x22;
        if (form === 'base64') put += out.write(bytes.toString('base64', pos, end), put, 'latin1');
        else {
          for (; pos < end; pos++) {
            const escaped = ESCAPES[bytes[pos]!];
            if (escaped === undefined) out[put++] = bytes[pos]!;
            else put += escaped.copy(out, put);
          }
        }
        pos = end;
        out[put++] = 0x22;
      }
      out[put++] = 0x7d;
      out[put++] = 0x0a;
      at = put;
      rows++;
      if (at >= CHUNK_BYTES) flush();
    },
    end: flush,
  };
}
