import { hash } from 'node:crypto';

/**
 * A hash of a collection's documents that does not depend on their order: of the SHA-256 of each, the first
 * 16 bytes as four numbers, and those summed up modulo 2^32. It tells what was lost, changed or doubled on the
 * way; against forgery stand the hashes of the backup's blocks.
 */
export interface Fingerprint {
  documents: number;
  bytes: number;
  add(document: Uint8Array): void;
  /** Takes out what another one holds. */
  subtract(other: Fingerprint): void;
  /** 32 hex digits. */
  sum(): string;
}

export function createFingerprint(): Fingerprint {
  const lanes = new Uint32Array(4);
  return {
    documents: 0,
    bytes: 0,
    add(document) {
      this.documents++;
      this.bytes += document.length;
      const digest = hash('sha256', document, 'buffer');
      for (let lane = 0; lane < 4; lane++) lanes[lane] = lanes[lane]! + digest.readUInt32LE(lane * 4);
    },
    subtract(other) {
      this.documents -= other.documents;
      this.bytes -= other.bytes;
      const sum = Buffer.from(other.sum(), 'hex');
      for (let lane = 0; lane < 4; lane++) lanes[lane] = lanes[lane]! - sum.readUInt32BE(lane * 4);
    },
    sum: () => [...lanes].map((lane) => lane.toString(16).padStart(8, '0')).join(''),
  };
}
