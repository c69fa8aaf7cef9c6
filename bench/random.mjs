import { createCipheriv, createHash } from 'node:crypto';

/** Seeded numbers in [0, 1): the benchmark's data are the same on every machine. */
export function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Fills buffers with bytes that no codec can shrink and that never repeat: an AES key stream. */
export function noiseSource(seed) {
  const cipher = createCipheriv(
    'aes-128-ctr',
    createHash('sha256').update(`noise ${seed}`).digest().subarray(0, 16),
    Buffer.alloc(16),
  );
  return (buffer) => {
    cipher.update(buffer.fill(0)).copy(buffer);
  };
}
