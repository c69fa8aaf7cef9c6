import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createZstdThreads, type ZstdJob } from '../../src/archive/codecs/zstd-threads.ts';
import { loadZstdContexts } from '../../src/native.ts';

/** A thread cannot run TypeScript: these are the threads of the build, as `npm test` makes it first. */
const THREAD = new URL('../../dist/archive/codecs/zstd-thread.js', import.meta.url);
const MIB = 1024 * 1024;

/** Threads whose results are copied and given back at once. */
function threadsOf(file: URL) {
  const threads = createZstdThreads(file);
  return async (job: Omit<ZstdJob, 'level' | 'hashed'> & { level?: number }) => {
    const { bytes, sha256 } = await threads.run({ level: 0, hashed: true, ...job });
    const copy = Buffer.from(bytes);
    threads.giveBack(bytes);
    return { bytes: copy, sha256 };
  };
}

const ROOM = 5 * MIB;

function block(length: number): Buffer {
  return Buffer.concat([randomBytes(length / 2), Buffer.alloc(length - Math.floor(length / 2), 'dguard ')]);
}

describe.skipIf(loadZstdContexts() === undefined)('zstd in threads (zstd-napi)', () => {
  test('many blocks of all sizes at once come back as they were, each hashed, each by its own', async () => {
    const run = threadsOf(THREAD);
    const blocks = Array.from({ length: 40 }, (_, i) => block(1 + ((i * 7919 * 131) % (4 * MIB))));
    const shared = blocks.map((bytes, i) => {
      if (i % 2) return bytes;
      const room = Buffer.from(new SharedArrayBuffer(bytes.length));
      bytes.copy(room);
      return room;
    });
    const frames = await Promise.all(
      shared.map((bytes, i) => run({ kind: 'compress', bytes, level: i % 3 ? 1 : 3, maxBytes: ROOM })),
    );
    const back = await Promise.all(
      frames.map(({ bytes }, i) => run({ kind: 'decompress', bytes, maxBytes: blocks[i]!.length })),
    );
    for (const [i, { bytes, sha256 }] of back.entries()) {
      expect(bytes.equals(blocks[i]!)).toBe(true);
      const name = createHash('sha256').update(blocks[i]!).digest('hex');
      expect([frames[i]!.sha256, sha256]).toEqual([name, name]);
    }
    const plain = execFileSync('zstd', ['-dc'], { input: frames[7]!.bytes, maxBuffer: 8 * MIB });
    expect(plain.equals(blocks[7]!)).toBe(true);
  });

  test('a frame that holds more than it may, and what is no frame, fail alone', async () => {
    const run = threadsOf(THREAD);
    const { bytes } = await run({ kind: 'compress', bytes: Buffer.alloc(MIB), level: 3, maxBytes: ROOM });
    const results = await Promise.allSettled([
      run({ kind: 'decompress', bytes, maxBytes: MIB - 1 }),
      run({ kind: 'decompress', bytes: randomBytes(1000), maxBytes: MIB }),
      run({ kind: 'decompress', bytes: bytes.subarray(0, bytes.length - 1), maxBytes: MIB }),
      run({ kind: 'decompress', bytes, maxBytes: MIB }),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected', 'fulfilled']);
  });

  test('a job that cannot be handed over fails alone: every other has its own answer', async () => {
    const run = threadsOf(THREAD);
    const huge = { buffer: new ArrayBuffer(0), length: 2 ** 52 } as unknown as Uint8Array;
    const blocks = Array.from({ length: 16 }, (_, i) => randomBytes(200_000 + i));
    const failed: Promise<unknown>[] = [];
    const frames = blocks.map((bytes) => {
      failed.push(run({ kind: 'compress', bytes: huge, level: 1, maxBytes: ROOM }));
      return run({ kind: 'compress', bytes, level: 1, maxBytes: ROOM });
    });
    const outcomes = await Promise.allSettled(failed);
    expect(outcomes.map(({ status }) => status)).toEqual(failed.map(() => 'rejected'));
    for (const [i, frame] of frames.entries()) {
      const back = execFileSync('zstd', ['-dc'], { input: (await frame).bytes });
      expect(back.equals(blocks[i]!)).toBe(true);
    }
  });

  test('a thread that ends within a job fails it, and others begin anew', async () => {
    const file = `import { parentPort } from 'node:worker_threads';
      parentPort.on('message', ({ bytes }) => (bytes.length === 1 ? process.exit(3) : parentPort.postMessage({ length: 7 })));`;
    const run = threadsOf(new URL(`data:text/javascript,${encodeURIComponent(file)}`));
    const jobs = [1, 1, 1, 1, 1, 1].map((length) =>
      run({ kind: 'compress', bytes: Buffer.alloc(length), level: 1, maxBytes: ROOM }),
    );
    const results = await Promise.allSettled(jobs);
    expect(results.map(({ status }) => status)).toEqual(jobs.map(() => 'rejected'));
    expect(
      (await run({ kind: 'compress', bytes: Buffer.alloc(7), level: 1, maxBytes: ROOM })).bytes,
    ).toHaveLength(7);
  });

  test('a thread that cannot start fails its jobs, not the process', async () => {
    const run = threadsOf(new URL('../../dist/archive/codecs/no-such-thread.js', import.meta.url));
    await expect(run({ kind: 'compress', bytes: block(1000), level: 3, maxBytes: ROOM })).rejects.toThrow(
      /no-such-thread/,
    );
  });

  test('where the system gives no second thread, all is done in the first', async () => {
    const file = new URL(THREAD);
    const run = threadsOf(file);
    const blocks = Array.from({ length: 6 }, (_, i) => randomBytes(200_000 + i));
    const frames = blocks.map((bytes) => {
      const frame = run({ kind: 'compress', bytes, level: 1, maxBytes: ROOM });
      file.href = 'http://127.0.0.1/'; // `new Worker` throws, as it does at the limit of threads
      return frame;
    });
    for (const [i, frame] of frames.entries()) {
      const back = execFileSync('zstd', ['-dc'], { input: (await frame).bytes });
      expect(back.equals(blocks[i]!)).toBe(true);
    }
  });

  test('where the system gives no thread at all, the jobs fail, and later ones are tried again', async () => {
    const file = new URL('http://127.0.0.1/');
    const run = threadsOf(file);
    const bytes = randomBytes(200_000);
    const job = { kind: 'compress', bytes, level: 1, maxBytes: ROOM } as const;
    await expect(run(job)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringMatching(/no thread for zstd/),
    });
    file.href = THREAD.href;
    const back = execFileSync('zstd', ['-dc'], { input: (await run(job)).bytes });
    expect(back.equals(bytes)).toBe(true);
  });
});
