import { expect, it } from 'vitest';
import { createSharedRooms } from '../../src/archive/codecs/shared-rooms.ts';

const MIB = 1024 * 1024;

it('gives the smallest room that fits, and never one that somebody has', () => {
  const rooms = createSharedRooms();
  const [small, large] = [rooms.take(MIB), rooms.take(4 * MIB)];
  expect([small.length, large.length]).toEqual([MIB, 4 * MIB]);
  expect(rooms.take(10).buffer).not.toBe(small.buffer);
  rooms.giveBack(large);
  rooms.giveBack(small);
  const again = rooms.take(MIB + 1000);
  expect(again.buffer).toBe(small.buffer);
  expect(again.length).toBe(MIB + 1000);
  expect(rooms.take(10).buffer).toBe(large.buffer);
});

it('takes a room back once, by any piece of it, and nothing that is not its own', () => {
  const rooms = createSharedRooms();
  const room = rooms.take(100);
  rooms.giveBack(room.subarray(50, 60));
  rooms.giveBack(room);
  expect(rooms.take(100).buffer).toBe(room.buffer);
  expect(rooms.take(100).buffer).not.toBe(room.buffer);
  const foreign = Buffer.from(new SharedArrayBuffer(2 * MIB));
  rooms.giveBack(foreign);
  rooms.giveBack(Buffer.alloc(2 * MIB));
  expect(rooms.take(100).buffer).not.toBe(foreign.buffer);
});

it('keeps a bounded amount', () => {
  const rooms = createSharedRooms();
  const taken = Array.from({ length: 12 }, () => rooms.take(4 * MIB));
  for (const room of taken) rooms.giveBack(room);
  const known = new Set(taken.map(({ buffer }) => buffer));
  const again = Array.from({ length: 12 }, () => rooms.take(4 * MIB));
  const kept = again.filter(({ buffer }) => known.has(buffer)).length;
  expect(kept).toBeGreaterThan(4);
  expect(kept * 4 * MIB).toBeLessThanOrEqual(32 * MIB);
});
