import fc from 'fast-check';
import { expect, it } from 'vitest';
import { insertBuffers } from '../../src/engines/mysql/rows/insert-buffers.ts';
import { INSERT_BUFFER_BYTES, insertEncoder } from '../../src/engines/mysql/rows/insert-encoder.ts';
import { writeRow } from '../../src/engines/mysql/rows/row-text.ts';

/** A row as the server sends it; undefined is NULL. */
function packet(values: readonly (Uint8Array | undefined)[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      if (value === undefined) return [Buffer.from([0xfb])];
      const { length } = value;
      if (length < 0xfb) return [Buffer.from([length]), value];
      const head = Buffer.alloc(length < 0x10000 ? 3 : 4);
      head[0] = length < 0x10000 ? 0xfc : 0xfd;
      head.writeUIntLE(length, 1, head.length - 1);
      return [head, value];
    }),
  );
}

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 400 }),
  fc.string({ maxLength: 60 }).map((text) => Buffer.from(text)),
  fc.constantFrom(...[15, 16, 17, 31, 32, 250, 251, 252, 5000].map((length) => Buffer.alloc(length, 'x'))),
  fc.constantFrom(
    ...["it's", '\\', '"', '\0\n\r\x1a', '', `${'y'.repeat(15)}'${'z'.repeat(16)}`].map((text) =>
      Buffer.from(text),
    ),
  ),
);

it('the fast encoder writes what the plain one writes', () => {
  const pool = insertBuffers(INSERT_BUFFER_BYTES, 2);
  const column = fc.tuple(fc.integer({ min: 0, max: 2 }), fc.option(bytes, { nil: undefined }));
  fc.assert(
    fc.property(fc.array(column, { minLength: 1, maxLength: 12 }), fc.nat(40), (columns, shift) => {
      const forms = Uint8Array.from(columns, ([form]) => form);
      const row = packet(columns.map(([, value]) => value));
      const moved = Buffer.concat([Buffer.alloc(shift, 0xaa), row, Buffer.alloc(3, 0xbb)]);
      const fast = pool.take();
      const end = pool.encode(fast, shift, moved, shift, shift + row.length, forms)!;
      const plain = Buffer.alloc(INSERT_BUFFER_BYTES);
      expect(end).toBe(writeRow(plain, shift, moved, shift, forms));
      expect(fast.subarray(shift, end).equals(plain.subarray(shift, end))).toBe(true);
      pool.give(fast);
    }),
    { numRuns: 500 },
  );
});

it('writes statements of about 1 MiB, rows of any size, and goes on without buffers of the pool', () => {
  for (const buffers of [0, 2]) {
    const pool = insertBuffers(INSERT_BUFFER_BYTES, buffers);
    const chunks: string[] = [];
    const column = (name: string, kind: 'number' | 'text') => ({
      ...{ name, kind, type: '', dataType: '', nullable: true, generated: false, extra: '', primaryKey: 0 },
    });
    const columns = [column('n', 'number'), column('a`b', 'text')];
    const encoder = insertEncoder('t`x', columns, pool, (chunk) => {
      chunks.push(chunk.toString('latin1'));
      pool.give(chunk);
    });
    const expected: string[] = [];
    for (const [at, size] of [10, 70_000, 3_000_000, 0, ...Array(400).fill(5000), 10].entries()) {
      const row = packet([Buffer.from(String(at)), Buffer.alloc(size, 'v')]);
      encoder.row(row, 0, row.length);
      expected.push(`(${at},'${'v'.repeat(size)}')`);
    }
    encoder.end();
    const head = 'INSERT INTO `t``x` (`n`,`a``b`) VALUES\n';
    expect(chunks.every((chunk) => chunk.startsWith(head) && chunk.endsWith(');\n'))).toBe(true);
    expect(chunks.length).toBe(3);
    const rows = chunks.flatMap((chunk) => chunk.slice(head.length, -2).split(',\n'));
    expect(rows.length).toBe(expected.length);
    expect(rows.every((row, at) => row === expected[at])).toBe(true);
    expect(encoder.rows()).toBe(expected.length);
  }
});
