import { wasmMemory } from '../../../wasm.ts';
import type { BufferPool } from './buffers.ts';
import { type EncodeRows, instantiateRowCode, STATE_AT, TABLES_BYTES } from './row-code.ts';
import { WRONG_SHAPE } from './row-text.ts';

/** Buffers for INSERT statements, in a memory in which rows are encoded fast. */
export interface InsertBuffers extends BufferPool {
  /**
   * Makes bytes from the server ready for `encode`, which takes them by their place among these. Returns how many of
   * `from…to` there was room for.
   */
  place(bytes: Buffer, from: number, to: number): number;
  /**
   * Encodes rows that were placed, `pos…end`, into a buffer of the pool at `put` until that has reached `limit`. Room for
   * one row more has to be there. Undefined where it cannot: for very many columns, a buffer from elsewhere, or a
   * processor without such instructions. Throws for a row of another number of values.
   */
  encode(
    pos: number,
    end: number,
    into: { readonly out: Buffer; readonly put: number; readonly limit: number },
    forms: Uint8Array,
    sequence: number,
  ): Encoded | undefined;
}

export interface Encoded {
  /** The place behind what was written. */
  readonly put: number;
  /** Where it stopped to read: see `EncodeRows`. */
  readonly pos: number;
  readonly rows: number;
}

const PAGE_BYTES = 64 * 1024;
const MAX_COLUMNS = 4096;
const FORMS_AT = 512;
const ROWS_AT = 8 * 1024;
const BUFFERS_AT = 2 * PAGE_BYTES;
/** What is read of a socket at once, and a row of the greatest size; behind them some bytes are read, too. */
const ROWS_BYTES = BUFFERS_AT - ROWS_AT - 16;

/** @param count how many buffers at most; what is asked for beyond is an ordinary one */
export function insertBuffers(sizeBytes: number, count: number): InsertBuffers {
  const pages = Math.ceil((BUFFERS_AT + count * sizeBytes) / PAGE_BYTES);
  // Not used until it is written to.
  const memory = wasmMemory(pages);
  const whole = memory ? Buffer.from(memory.buffer) : Buffer.allocUnsafeSlow(pages * PAGE_BYTES);
  const code = memory && rowCode(memory);
  const free = Array.from({ length: count }, (_, at) => BUFFERS_AT + (count - 1 - at) * sizeBytes);
  let current: Uint8Array | undefined;
  if (TABLES_BYTES > FORMS_AT) throw new Error('the tables have no room');
  return {
    take() {
      const place = free.pop();
      return place === undefined ? Buffer.alloc(sizeBytes) : whole.subarray(place, place + sizeBytes);
    },
    give({ buffer, byteOffset }) {
      if (buffer === whole.buffer) free.push(byteOffset);
    },
    place: (bytes, from, to) => bytes.copy(whole, ROWS_AT, from, Math.min(to, from + ROWS_BYTES)),
    encode(pos, end, { out, put, limit }, forms, sequence) {
      if (code === undefined || out.buffer !== whole.buffer || forms.length > MAX_COLUMNS) return undefined;
      if (current !== forms) whole.set(forms, FORMS_AT);
      current = forms;
      const at = out.byteOffset;
      const formsEnd = FORMS_AT + forms.length;
      let last: number;
      try {
        last = code(ROWS_AT + pos, ROWS_AT + end, FORMS_AT, formsEnd, at + put, at + limit, sequence);
      } catch (error) {
        throw new Error(WRONG_SHAPE, { cause: error });
      }
      return {
        put: last - at,
        pos: whole.readUInt32LE(STATE_AT) - ROWS_AT,
        rows: whole.readUInt32LE(STATE_AT + 4),
      };
    },
  };
}

/** Undefined on a processor without SSE4.1, as some virtual machines have: rows are encoded one by one there. */
function rowCode(memory: WebAssembly.Memory): EncodeRows | undefined {
  try {
    return instantiateRowCode(memory);
  } catch {
    return undefined;
  }
}
