import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { insertBuffers } from '../../../src/engines/mysql/rows/insert-buffers.ts';
import { INSERT_BUFFER_BYTES, insertEncoder } from '../../../src/engines/mysql/rows/insert-encoder.ts';
import type { Session } from '../../../src/engines/mysql/server/session.ts';
import { driverServer, type ServerSide } from './support-driver.ts';

/** What the next query is answered by, in pieces; `end`: the connection ends then. */
let answer: readonly (Buffer | 'end')[] = [];
/** Sends rows in pieces as they are asked for here. */
async function sendAnswer(side: ServerSide): Promise<void> {
  side.sequenceId = 0;
  for (const piece of answer) {
    if (piece === 'end') return void side.stream.destroy();
    side.stream.write(piece);
    await turn();
    await turn();
  }
}

const MAX_PAYLOAD = 0xffffff;
function text(value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  const { length } = bytes;
  if (length < 0xfb) return Buffer.concat([Buffer.from([length]), bytes]);
  const head = Buffer.alloc(length < 0x10000 ? 3 : length <= MAX_PAYLOAD ? 4 : 9);
  head[0] = length < 0x10000 ? 0xfc : length <= MAX_PAYLOAD ? 0xfd : 0xfe;
  head.writeUIntLE(length, 1, Math.min(6, head.length - 1));
  return Buffer.concat([head, bytes]);
}
const EOF = Buffer.from([0xfe, 0, 0, 2, 0]);
const ERROR = Buffer.concat([Buffer.from([0xff, 0x25, 0x05]), Buffer.from('#70100Query was interrupted')]);
function column(name: string): Buffer {
  const fixed = Buffer.from([0x0c, 45, 0, 0, 1, 0, 0, 253, 0, 0, 0, 0, 0]);
  return Buffer.concat([...['def', '', 't', 't', name, name].map(text), fixed]);
}
function framed(payloads: readonly Buffer[]): Buffer {
  let sequence = 0;
  return Buffer.concat(
    payloads.flatMap((payload) => {
      const packets: Buffer[] = [];
      for (let from = 0; from <= payload.length; from += MAX_PAYLOAD) {
        const part = payload.subarray(from, from + MAX_PAYLOAD);
        const header = Buffer.alloc(4);
        header.writeUIntLE(part.length, 0, 3);
        sequence = (sequence + 1) & 0xff;
        header[3] = sequence;
        packets.push(header, part);
      }
      return packets;
    }),
  );
}
const result = (rows: readonly Buffer[], last = EOF) =>
  framed([Buffer.from([2]), column('n'), column('v'), EOF, ...rows, last]);
function* pieces(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let from = 0, at = 0; from < bytes.length; at++) {
    const size = sizes[at % sizes.length]!;
    yield bytes.subarray(from, from + size);
    from += size;
  }
}

const info = (name: string, kind: 'number' | 'text') => ({
  ...{ name, kind, type: '', dataType: '', nullable: true, generated: false, extra: '', primaryKey: 0 },
});
const COLUMNS = [info('n', 'number'), info('v', 'text')];
let server: Awaited<ReturnType<typeof driverServer>>;
let session: Session;
const signal = new AbortController().signal;
beforeAll(async () => {
  server = await driverServer(sendAnswer);
});
beforeEach(async () => {
  session = await server.open(signal);
  return () => session.close();
});
afterAll(() => server.close());

async function read(): Promise<Buffer> {
  const pool = insertBuffers(INSERT_BUFFER_BYTES, 4);
  const stream = session.stream('SELECT 1', (emit) => insertEncoder('t', COLUMNS, pool, emit), {
    maxBytes: 1024 * 1024,
    pool,
  });
  const chunks: Buffer[] = [];
  for await (const chunk of stream.read()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
/** What the encoder makes of rows that it is given one by one, without buffers of its own. */
function expected(rows: readonly Buffer[]): Buffer {
  const chunks: Buffer[] = [];
  const encoder = insertEncoder('t', COLUMNS, insertBuffers(INSERT_BUFFER_BYTES, 0), (chunk) =>
    chunks.push(Buffer.from(chunk)),
  );
  for (const row of rows) encoder.row(row, 0, row.length);
  encoder.end();
  return Buffer.concat(chunks);
}
const rowOf = (at: number, size: number) =>
  Buffer.concat([text(String(at)), text(`it's ${at}\n`.padEnd(size, 'v'))]);

test('rows in pieces of any size are all there, in order, and the connection is good for more', async () => {
  const rows = Array.from({ length: 700 }, (_, at) => rowOf(at, (at * 37) % 300));
  rows.push(Buffer.from([0xfb, 0xfb]));
  for (const sizes of [[1], [2, 3, 5], [997], [65_536], [4, 70], [10_000_000]]) {
    const few = sizes[0]! < 3 ? rows.slice(0, 40) : rows;
    answer = [...pieces(result(few), sizes)];
    expect((await read()).equals(expected(few))).toBe(true);
  }
  answer = [result([])];
  expect((await read()).length).toBe(0);
  answer = [result([rows[7]!])];
  expect(await session.rows('SELECT v')).toEqual([{ n: '7', v: "it's 7\n".padEnd(259, 'v') }]);
});

test('rows that fill a packet, several packets, or most of one stay between the others', async () => {
  const sizes = [10, 61_000, 200, 70_000, 5, 300_000, 60, MAX_PAYLOAD - 6, 7, MAX_PAYLOAD + 500, 9, 9];
  const rows = sizes.map((size, at) => rowOf(at, size));
  expect(rows.some(({ length }) => length === MAX_PAYLOAD)).toBe(true);
  answer = [...pieces(result(rows), [65_536, 1_000_000])];
  expect((await read()).equals(expected(rows))).toBe(true);
});

test('an error of the server, a row of another shape and an end of the connection fail it', async () => {
  const rows = Array.from({ length: 50 }, (_, at) => rowOf(at, 100));
  answer = [result(rows, ERROR)];
  await expect(read()).rejects.toThrow('Query was interrupted');
  answer = [result(rows)];
  expect((await read()).equals(expected(rows))).toBe(true);
  const large = rowOf(1, 70_000);
  for (const wrong of [
    text('1'),
    Buffer.concat([rows[0]!, text('more')]),
    text('v'.repeat(70_000)),
    Buffer.concat([large, text('more')]),
    large.subarray(0, -1),
  ]) {
    answer = [result([...rows, wrong, ...rows])];
    await expect(read()).rejects.toThrow(/not as many values/);
    await session.close();
    session = await server.open(signal);
  }
  answer = [result(rows).subarray(0, -70), 'end'];
  await expect(read()).rejects.toThrow(/closed/);
});
