import type { BufferPool } from './buffers.ts';
import { type EncodeRow, instantiateRowCode, TABLES_BYTES } from './row-code.ts';

/** Buffers for INSERT statements, in a memory in which rows are encoded fast. */
export interface InsertBuffers extends BufferPool {
  /**
   * Encodes a row into a buffer of the pool at `put`; returns the place behind it, or undefined where it cannot:
   * for a very large row, very many columns, or a buffer from elsewhere. Room for it has to be there.
   */
  encode(
    out: Buffer,
    put: number,
    bytes: Buffer,
    from: number,
    to: number,
    forms: Uint8Array,
  ): number | undefined;
}

const PAGE_BYTES = 64 * 1024;
const MAX_COLUMNS = 4096;
const MAX_ROW_BYTES = 60 * 1024;
const FORMS_AT = 512;
const ROW_AT = 8 * 1024;
const BUFFERS_AT = 2 * PAGE_BYTES;

/** @param count how many buffers at most; what is asked for beyond is an ordinary one */
export function insertBuffers(sizeBytes: number, count: number): InsertBuffers {
  const pages = Math.ceil((BUFFERS_AT + count * sizeBytes) / PAGE_BYTES);
  // Not used until it is written to.
  const memory = new WebAssembly.Memory({ initial: pages });
  const whole = Buffer.from(memory.buffer);
  const code: EncodeRow = instantiateRowCode(memory);
  const free = Array.from({ length: count }, (_, at) => BUFFERS_AT + (count - 1 - at) * sizeBytes);
  let current: Uint8Array | undefined;
  if (TABLES_BYTES > FORMS_AT) throw new Error('the tables have no room');
  return {
    take() {
      const place = free.pop();
      return place === undefined ? Buffer.alloc(sizeBytes) : whole.subarray(place, place + sizeBytes);
    },
    give({ buffer, byteOffset }) {
      if (buffer === memory.buffer) free.push(byteOffset);
    },
    encode(out, put, bytes, from, to, forms) {
      if (out.buffer !== memory.buffer || to - from > MAX_ROW_BYTES || forms.length > MAX_COLUMNS)
        return undefined;
      if (current !== forms) whole.set(forms, FORMS_AT);
      current = forms;
      bytes.copy(whole, ROW_AT, from, to);
      return code(ROW_AT, FORMS_AT, FORMS_AT + forms.length, out.byteOffset + put) - out.byteOffset;
    },
  };
}
