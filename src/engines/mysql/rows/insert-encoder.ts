import type { ColumnInfo } from '../server/columns.ts';
import { identifier } from '../server/session.ts';
import type { InsertBuffers } from './insert-buffers.ts';
import type { RowEncoder } from './row-stream.ts';
import { FORM, roomForRow, writeRow } from './row-text.ts';

/** As large as the dump tools make their statements. */
const STATEMENT_BYTES = 1024 * 1024;
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
      if (out.length === 0) out = pool.take();
      const worst = at + head.length + roomForRow(to - from, forms.length) + 4;
      if (worst > out.length) {
        const larger = Buffer.allocUnsafe(worst + STATEMENT_BYTES);
        out.copy(larger, 0, 0, at);
        pool.give(out);
        out = larger;
      }
      let put = at;
      if (put === 0) put = head.copy(out);
      else {
        out[put++] = 0x2c;
        out[put++] = 0x0a;
      }
      at = pool.encode(out, put, bytes, from, to, forms) ?? writeRow(out, put, bytes, from, forms);
      rows++;
      if (at >= STATEMENT_BYTES) flush();
    },
    end: flush,
  };
}
