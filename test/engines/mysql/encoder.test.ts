import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { insertBuffers } from '../../../src/engines/mysql/rows/insert-buffers.ts';
import { INSERT_BUFFER_BYTES, insertEncoder } from '../../../src/engines/mysql/rows/insert-encoder.ts';
import { writeRow } from '../../../src/engines/mysql/rows/row-text.ts';

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

/** It as a packet of the protocol. */
function framed(row: Buffer, sequence: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUIntLE(row.length, 0, 3);
  header[3] = sequence & 0xff;
  return Buffer.concat([header, row]);
}

it('the fast encoder writes what the plain one writes', () => {
  const pool = insertBuffers(INSERT_BUFFER_BYTES, 1);
  const out = pool.take();
  const value = fc.option(bytes, { nil: undefined });
  const table = fc
    .array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 12 })
    .chain((forms) =>
      fc.tuple(
        fc.constant(Uint8Array.from(forms)),
        fc.array(fc.array(value, { minLength: forms.length, maxLength: forms.length }), { maxLength: 4 }),
      ),
    );
  fc.assert(
    fc.property(table, fc.nat(40), fc.nat(255), fc.nat(30), ([forms, values], shift, sequence, cut) => {
      const rows = values.map(packet);
      const packets = rows.map((row, at) => framed(row, sequence + at));
      const whole = Buffer.concat([Buffer.alloc(shift, 0xaa), ...packets]);
      // What is missing at the end leaves the last packet alone.
      const end = pool.place(whole, shift, Math.max(shift, whole.length - cut));
      const ends = packets.map((_, at) =>
        packets.slice(0, at + 1).reduce((sum, { length }) => sum + length, 0),
      );
      const count = ends.filter((each) => each <= end).length;
      const into = { out, put: shift, limit: INSERT_BUFFER_BYTES };
      const done = pool.encode(0, end, into, forms, sequence)!;
      const plain = Buffer.alloc(INSERT_BUFFER_BYTES);
      let put = shift;
      for (const row of rows.slice(0, count)) {
        put = writeRow(plain, put, row, 0, forms);
        put += plain.write(',\n', put);
      }
      expect(done).toEqual({ put, pos: ends[count - 1] ?? 0, rows: count });
      expect(out.subarray(shift, put).equals(plain.subarray(shift, put))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

it('the fast encoder stops at its limit, at what is no row and at another sequence number; it refuses a row of another shape', () => {
  const pool = insertBuffers(INSERT_BUFFER_BYTES, 1);
  const out = pool.take();
  const row = packet([Buffer.from('1'), Buffer.from('abc')]);
  const forms = Uint8Array.from([0, 1]);
  const encode = (packets: readonly Buffer[], limit = INSERT_BUFFER_BYTES) => {
    const end = pool.place(Buffer.concat(packets), 0, Buffer.concat(packets).length);
    return pool.encode(0, end, { out, put: 0, limit }, forms, 255);
  };
  const two = [framed(row, 255), framed(row, 0)];
  const written = "(1,'abc'),\n".length;
  expect(encode(two)).toEqual({ put: 2 * written, pos: 20, rows: 2 });
  expect(encode(two, written)).toEqual({ put: written, pos: 10, rows: 1 });
  for (const stop of [
    framed(row, 2),
    framed(Buffer.from([0xfe, 0, 0, 2, 0]), 1),
    framed(Buffer.from([0xff, 1, 2]), 1),
    framed(packet([Buffer.from('1'), Buffer.alloc(61 * 1024)]), 1),
    framed(Buffer.alloc(0), 1),
    Buffer.from([9, 0, 0]),
  ]) {
    expect(encode([...two, stop, ...two])).toEqual({ put: 2 * written, pos: 20, rows: 2 });
  }
  for (const values of [[Buffer.from('1')], [Buffer.from('1'), undefined, undefined]]) {
    expect(() => encode([framed(packet(values), 255), ...two])).toThrow();
  }
  expect(() => encode([framed(Buffer.from([1, 0x31, 200, 0x61]), 255), ...two])).toThrow();
});

it('writes statements of about 1 MiB, rows of any size, and goes on without buffers of the pool, or fast instructions', () => {
  for (const [buffers, isFast] of [
    [0, true],
    [2, true],
    [2, false],
  ] as const) {
    const compile = vi.spyOn(WebAssembly, 'Module');
    // What V8 says on a processor without SSE4.1.
    if (!isFast)
      compile.mockImplementation(function unsupported() {
        throw new Error('Wasm SIMD unsupported');
      });
    const pool = insertBuffers(INSERT_BUFFER_BYTES, buffers);
    compile.mockRestore();
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
      const whole = framed(row, at);
      const taken = buffers === 0 ? undefined : encoder.packets!(whole, 0, whole.length, at & 0xff);
      if (taken === undefined || taken.rows === 0) encoder.row(row, 0, row.length);
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
