import type { ColumnInfo } from '../server/columns.ts';
import { identifier } from '../server/session.ts';
import type { InsertBuffers } from './insert-buffers.ts';
import type { RowEncoder } from './row-packets.ts';
import { FORM, requireShape, roomForRow, writeRow } from './row-text.ts';

/** As large as the dump tools make their statements. */
const STATEMENT_BYTES = 1024 * 1024;
/** A statement of which no more than the separator behind its last row is to be replaced. */
const FULL_BYTES = STATEMENT_BYTES + 2;
/** A statement, and room for the row that makes it full. */
export const INSERT_BUFFER_BYTES = STATEMENT_BYTES + 256 * 1024;

/**
 * Encodes rows as INSERT statements, about 1 MiB each: numbers as they are, text quoted, bytes as hexadecimal
 * literals, floating-point numbers quoted (a string becomes exactly the number that it was; -0 as a literal 0).
 */
export function insertEncoder(
  table: string,
  columns: readonly ColumnInfo[],
  pool: InsertBuffers,
  emit: (chunk: Buffer) => void,
): RowEncoder & { readonly rows: () => number } {
  const names = columns.map(({ name }) => identifier(name)).join(',');
  const head = Buffer.from(`INSERT INTO ${identifier(table)} (${names}) VALUES\n`);
  const forms = Uint8Array.from(columns, ({ kind }) =>
    kind === 'number' ? FORM.plain : kind === 'binary' ? FORM.hex : FORM.quoted,
  );
  let out: Buffer = Buffer.alloc(0);
  let at = 0;
  let rows = 0;

  /** Every row has `,` and a newline behind it, the last one another sign. */
  const flush = () => {
    if (at === 0) return;
    out[at - 2] = 0x3b;
    emit(out.subarray(0, at));
    out = Buffer.alloc(0);
    at = 0;
  };
  const begin = () => {
    if (out.length === 0) out = pool.take();
    if (at === 0) at = head.copy(out);
  };
  return {
    rows: () => rows,
    row(bytes, from, to) {
      requireShape(bytes, from, to, forms.length);
      begin();
      const worst = at + roomForRow(to - from, forms.length) + 4;
      if (worst > out.length) {
        const larger = Buffer.allocUnsafe(worst + STATEMENT_BYTES);
        out.copy(larger, 0, 0, at);
        pool.give(out);
        out = larger;
      }
      at = writeRow(out, at, bytes, from, forms);
      out[at++] = 0x2c;
      out[at++] = 0x0a;
      rows++;
      if (at >= FULL_BYTES) flush();
    },
    packets(bytes, from, to, sequence) {
      const end = pool.place(bytes, from, to);
      let pos = 0;
      let count = 0;
      for (;;) {
        begin();
        const done = pool.encode(
          pos,
          end,
          { out, put: at, limit: FULL_BYTES },
          forms,
          (sequence + count) & 0xff,
        );
        if (done === undefined) break;
        ({ put: at, pos } = done);
        count += done.rows;
        if (at < FULL_BYTES) break;
        flush();
      }
      rows += count;
      return { pos: from + pos, rows: count };
    },
    end() {
      // Begun, but no row came.
      if (at === head.length) {
        pool.give(out);
        at = 0;
        out = Buffer.alloc(0);
      }
      flush();
    },
  };
}
