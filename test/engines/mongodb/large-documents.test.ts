import { BSON } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { writeJson } from '../../../src/engines/mongodb/bson/ejson-read.ts';
import { documentLines, documentToJson } from '../../../src/engines/mongodb/bson/ejson-write.ts';
import { jsonLines } from '../../../src/engines/mongodb/bson/json-lines.ts';
import { BsonWriter } from '../../../src/engines/mongodb/bson/writer.ts';
import { noise } from '../../archive/support.ts';

describe('very large documents as lines', () => {
  const MIB = 1024 * 1024;
  const of = (value: object) => Buffer.from(BSON.serialize(value));
  const read = async (text: Buffer, step: number): Promise<Buffer[]> => {
    const out = new BsonWriter();
    const found: Buffer[] = [];
    async function* chunks() {
      for (let at = 0; at < text.length; at += step) yield text.subarray(at, at + step);
    }
    for await (const lines of jsonLines(chunks())) {
      for (const line of lines) {
        writeJson(out, line);
        found.push(Buffer.from(out.written()));
        out.clear();
      }
    }
    return found;
  };
  const documents = [
    of({ a: 1 }),
    of({ _id: 1, text: 'é😀 "quoted"\\ \n'.repeat(MIB / 12), after: [1, 'x'] }),
    of({ b: new BSON.Binary(noise(3 * MIB + 1, 1)), s: 'short', t: 'y'.repeat(70_000) }),
    of({ b: new BSON.Binary(noise(2 * MIB, 2), 2), ['n'.repeat(100_000)]: '\n'.repeat(2 * MIB) }),
    // A text that is not UTF-8: the document is its bytes.
    (() => {
      const bytes = of({ t: 'z'.repeat(2 * MIB), last: 'x' });
      bytes[bytes.length - 3] = 0xff;
      return bytes;
    })(),
    of({ many: Array.from({ length: 60_000 }, (_, i) => `text ${i}`) }),
    // Short texts that begin with a NUL.
    of({ b: noise(2 * MIB, 4).toString('latin1'), nul: '\0' + '0', other: ['\0' + '1', '\0'] }),
    of({ z: -0 }),
  ];

  it('are written piece by piece as they are as texts, and come back the same however they are cut', async () => {
    const pieces = [...documentLines(Buffer.concat(documents))];
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(2 * MIB);
    const lines = Buffer.concat(pieces);
    expect(lines.equals(Buffer.from(documents.map((one) => `${documentToJson(one)}\n`).join('')))).toBe(true);
    for (const step of [4 * MIB, 99_991, 256 * 1024]) {
      const back = await read(lines, step);
      expect(back.map((one, at) => one.equals(documents[at]!))).toEqual(documents.map(() => true));
    }
    expect(await read(lines.subarray(0, -1), MIB)).toHaveLength(documents.length);
  });

  it('as others write them: escaped slashes and pairs, wherever a piece ends', async () => {
    for (let shift = 0; shift < 12; shift++) {
      const pair = String.raw`\ud83d\ude00`;
      const text = `${'a'.repeat(shift)}${pair.repeat(100_000)}`;
      const base64 = noise(1_200_000, 3).toString('base64');
      const line = `{"t":"${text}","b":{"$binary":{"base64":"${base64.replaceAll('/', String.raw`\/`)}","subType":"00"}}}\n`;
      const [back] = await read(Buffer.from(line), MIB);
      const expected = of({ t: `${'a'.repeat(shift)}${'😀'.repeat(100_000)}`, b: noise(1_200_000, 3) });
      expect(back!.equals(expected), `${shift}`).toBe(true);
    }
  });

  it.each([
    ['a text that does not end', `{"a":"${'x'.repeat(2 * MIB)}`],
    ['an escape that is none', `{"a":"${'x'.repeat(2 * MIB)}\\q"}`],
    [
      'bytes that are no UTF-8',
      Buffer.concat([Buffer.from(`{"a":"${'x'.repeat(2 * MIB)}`), Buffer.from([0xff, 0x22, 0x7d])]),
    ],
  ])('%s is corrupt', async (_, line) => {
    await expect(read(Buffer.from(line), MIB)).rejects.toMatchObject({ code: 'corrupt' });
  });
});
