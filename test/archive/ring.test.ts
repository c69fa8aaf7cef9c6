import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRing } from '../../src/archive/ring.ts';

const RING_BYTES = 100;

test('rooms that are taken never overlap, whatever is taken and given back', () => {
  const step = fc.oneof(fc.integer({ min: 1, max: 120 }), fc.constant('give back' as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const ring = createRing(RING_BYTES);
      const held: { room: Buffer; mark: number }[] = [];
      let inRing = 0;
      for (const [i, length] of steps.entries()) {
        if (length === 'give back') {
          held.shift();
          ring.giveBack();
        } else {
          const room = ring.take(length);
          expect(room.length).toBe(length);
          const mark = i % 256;
          room.fill(mark);
          held.push({ room, mark });
          if (room.buffer.byteLength === RING_BYTES) inRing++;
        }
        for (const { room, mark } of held) expect(room.every((byte) => byte === mark)).toBe(true);
      }
      const small = steps.filter((length) => typeof length === 'number' && length <= RING_BYTES);
      if (small.length > 0) expect(inRing).toBeGreaterThan(0);
    }),
    { numRuns: 500 },
  );
});

test('a ring is used again for ever, without memory of its own for any room', () => {
  const ring = createRing(RING_BYTES);
  const memory = ring.take(30).buffer;
  ring.take(30);
  for (let i = 0; i < 1000; i++) {
    ring.giveBack();
    expect(ring.take(20 + (i % 11)).buffer).toBe(memory);
  }
});
