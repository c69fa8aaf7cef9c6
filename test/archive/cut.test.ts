import { describe, expect, it } from 'vitest';
import { createCutter, gearTable } from '../../src/archive/cut.ts';
import { CHUNKER, type ChunkerParameters } from '../../src/archive/format.ts';

const SMALL: ChunkerParameters = { algorithm: 'gear', version: 1, min: 64, avg: 256, max: 1024 };

/** The rule as FORMAT.md states it, byte by byte. */
function referenceCuts(data: Uint8Array, { min, avg, max }: ChunkerParameters): number[] {
  const gear = gearTable();
  const limit = Math.floor(2 ** 32 / (avg - min));
  const lengths: number[] = [];
  let start = 0;
  let h = 0;
  for (let i = 0; i < data.length; i++) {
    h = ((h << 1) + gear[data[i]!]!) >>> 0;
    const length = i + 1 - start;
    if ((length >= min && h < limit) || length === max) {
      lengths.push(length);
      start = i + 1;
    }
  }
  if (start < data.length) lengths.push(data.length - start);
  return lengths;
}

function cuts(
  data: Buffer,
  parameters: ChunkerParameters,
  step: number,
): { lengths: number[]; joined: Buffer } {
  const blocks: Buffer[] = [];
  const cutter = createCutter(parameters, (block) => blocks.push(Buffer.from(block)));
  for (let at = 0; at < data.length; ) {
    const count = data.copy(cutter.space(), 0, at, Math.min(data.length, at + step));
    cutter.advance(count);
    at += count;
  }
  cutter.cut();
  return { lengths: blocks.map((b) => b.length), joined: Buffer.concat(blocks) };
}

function noise(length: number, seed = 1): Buffer {
  const out = Buffer.alloc(length);
  let x = seed;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out[i] = x >>> 24;
  }
  return out;
}

describe('content-defined chunking', () => {
  it.each([1, 7, 63, 64, 65, 1000, 1 << 20])(
    'cuts as the written rule says, fed %d bytes at a time',
    (step) => {
      const data = noise(step < 10 ? 50_000 : 400_000);
      const result = cuts(data, SMALL, step);
      expect(result.lengths).toEqual(referenceCuts(data, SMALL));
      expect(result.joined.equals(data)).toBe(true);
    },
  );

  it('cuts real sizes as the written rule says, about 1 MiB on average', () => {
    const data = noise(24 << 20, 7);
    const { lengths } = cuts(data, CHUNKER, 300_000);
    expect(lengths).toEqual(referenceCuts(data, CHUNKER));
    expect(lengths.length).toBeGreaterThan(12);
    expect(lengths.length).toBeLessThan(48);
  });

  it('cuts zeros at the maximum', () => {
    const { lengths } = cuts(Buffer.alloc(10_000), SMALL, 10_000);
    expect(new Set(lengths.slice(0, -1)).size).toBe(1);
  });

  it('an insertion moves few cuts', () => {
    const data = noise(400_000);
    const changed = Buffer.concat([data.subarray(0, 1000), Buffer.from('inserted'), data.subarray(1000)]);
    const before = cuts(data, SMALL, 4096).lengths;
    const after = cuts(changed, SMALL, 4096).lengths;
    expect(after.slice(-before.length + 20)).toEqual(before.slice(20));
  });

  it('is the same on every machine: a golden cut list', () => {
    expect(cuts(noise(3000), SMALL, 3000).lengths).toEqual([268, 76, 108, 404, 800, 808, 158, 179, 199]);
    // The table's numbers by Python's hashlib.
    expect([...gearTable().slice(0, 2)]).toEqual([486646146, 3552599594]);
  });
});
