import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { setAttributeSync } from 'fs-xattr';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesEngine } from '../../../src/engines/files/engine.ts';
import { filesSource, isRoot, noise, removeFolder, tempFolder, wholeRequest } from './support.ts';
import { collect } from './support-items.ts';

const MIB = 1024 * 1024;
let root: string;
beforeEach(() => {
  root = tempFolder();
});
afterEach(() => removeFolder(root));

/** Backs up `root`, running `change` once when `done` bytes of the large file were read. */
async function whileReading(change: () => void, at = 1) {
  const source = filesSource({ source_path: [root] });
  const dump = await filesEngine.dump(source, wholeRequest);
  let reads = 0;
  const items = await collect(dump, MIB, () => {
    reads += 1;
    if (reads === at) change();
  });
  await dump.close();
  return { items, warnings: source.warnings };
}

describe('a large file that changes while it is read', () => {
  it.each([
    ['grows', () => fs.appendFileSync(join(root, 'big'), 'more'), 'changed while it was read'],
    ['shrinks', () => fs.truncateSync(join(root, 'big'), MIB + 5), 'became shorter'],
    ['is overwritten', () => rewrite(join(root, 'big')), 'changed while it was read'],
    ['is touched', () => fs.utimesSync(join(root, 'big'), 5, 5), 'changed while it was read'],
  ])(
    'that %s has the size that was announced, is unsure, and makes the backup partial',
    async (_, change, message) => {
      const data = noise(4 * MIB, 9);
      fs.writeFileSync(join(root, 'big'), data);
      const { items, warnings } = await whileReading(change);
      const big = items.find(({ entry }) => entry.path === 'big')!;
      expect(big.entry.size).toBe(4 * MIB);
      expect(big.content!.length).toBe(4 * MIB);
      expect(Buffer.from(big.content!.subarray(0, MIB)).equals(data.subarray(0, MIB))).toBe(true);
      expect(big.entry.unsure).toBe(true);
      expect(warnings).toEqual([
        { message: expect.stringContaining(message), subject: join(root, 'big'), partial: true },
      ]);
    },
  );

  it('that is removed is read to its end: it is still open', async () => {
    fs.writeFileSync(join(root, 'big'), noise(3 * MIB, 1));
    const { items, warnings } = await whileReading(() => fs.rmSync(join(root, 'big')));
    expect(Buffer.from(items[1]!.content!).equals(noise(3 * MIB, 1))).toBe(true);
    expect(warnings.map(({ partial }) => partial)).toEqual([true]);
  });

  it('that stays has no warning and is not unsure', async () => {
    fs.writeFileSync(join(root, 'big'), noise(3 * MIB, 1));
    const { items, warnings } = await whileReading(() => undefined);
    expect(warnings).toEqual([]);
    expect(items[1]!.entry.unsure).toBeUndefined();
  });
});

describe('a tree that changes while it is walked', () => {
  beforeEach(() => {
    // `a` is large and comes first: what is changed while it is read has been listed, but not opened.
    fs.writeFileSync(join(root, 'a'), noise(2 * MIB, 3));
    fs.mkdirSync(join(root, 'b'));
    fs.writeFileSync(join(root, 'b/inside'), 'x');
    fs.writeFileSync(join(root, 'c'), 'c');
    fs.writeFileSync(join(root, 'd'), 'd');
  });

  it('names what vanished, and goes on', async () => {
    const { items, warnings } = await whileReading(() => {
      fs.rmSync(join(root, 'b'), { recursive: true });
      fs.rmSync(join(root, 'c'));
    });
    expect(items.map(({ entry }) => entry.path)).toEqual(['', 'a', 'd']);
    expect(warnings.map(({ message, subject, partial }) => [message, subject, partial])).toEqual([
      ['vanished before it could be read', join(root, 'b'), true],
      ['vanished before it could be read', join(root, 'c'), true],
    ]);
  });

  it('never follows what became a link, never blocks on what became a fifo', async () => {
    fs.writeFileSync(join(root, '../secret-of-test'), 'secret');
    const { items } = await whileReading(() => {
      fs.rmSync(join(root, 'b'), { recursive: true });
      fs.symlinkSync('/etc', join(root, 'b'));
      fs.rmSync(join(root, 'c'));
      fs.symlinkSync('../secret-of-test', join(root, 'c'));
      fs.rmSync(join(root, 'd'));
      execFileSync('mkfifo', [join(root, 'd')]);
    });
    fs.rmSync(join(root, '../secret-of-test'));
    expect(items.map(({ entry }) => [entry.path, entry.kind])).toEqual([
      ['', 'directory'],
      ['a', 'file'],
      ['b', 'symlink'],
      ['c', 'symlink'],
      ['d', 'fifo'],
    ]);
  });

  it('goes into what became a folder and reads what became a file', async () => {
    const { items } = await whileReading(() => {
      fs.rmSync(join(root, 'b'), { recursive: true });
      fs.writeFileSync(join(root, 'b'), 'now a file');
      fs.rmSync(join(root, 'c'));
      fs.mkdirSync(join(root, 'c/new'), { recursive: true });
    });
    expect(items.map(({ entry }) => [entry.path, entry.kind])).toEqual([
      ['', 'directory'],
      ['a', 'file'],
      ['b', 'file'],
      ['c', 'directory'],
      ['c/new', 'directory'],
      ['d', 'file'],
    ]);
  });
});

describe('what cannot be read', () => {
  it('keeps a folder that cannot be listed, and says so', async () => {
    // Root reads everything: the dump runs as nobody.
    fs.mkdirSync(join(root, 'src/closed'), { recursive: true });
    fs.writeFileSync(join(root, 'src/closed/x'), 'x');
    fs.writeFileSync(join(root, 'src/secret'), 'x', { mode: 0o000 });
    fs.writeFileSync(join(root, 'src/open'), 'x');
    fs.chmodSync(join(root, 'src/closed'), 0o000);
    fs.chmodSync(root, 0o755);
    const dump = async () => {
      const source = filesSource({ source_path: [join(root, 'src')] });
      const opened = await filesEngine.dump(source, wholeRequest);
      const items = await collect(opened);
      return { paths: items.map(({ entry }) => entry.path), warnings: source.warnings };
    };
    const { paths, warnings } = isRoot ? await asNobody(dump) : await dump();
    fs.chmodSync(join(root, 'src/closed'), 0o700);
    expect(paths).toEqual(['', 'closed', 'open']);
    expect(warnings).toEqual([
      { message: 'cannot be read: EACCES', subject: join(root, 'src/closed'), partial: true },
      { message: 'cannot be read: EACCES', subject: join(root, 'src/secret'), partial: true },
    ]);
  });

  it.runIf(isRoot && fs.existsSync('/dev/shm'))(
    'leaves attributes out that are too large for the index, and says so',
    async () => {
      // ext4 holds no more than a block of them; tmpfs does.
      const folder = fs.mkdtempSync('/dev/shm/dguard-');
      try {
        fs.writeFileSync(join(folder, 'x'), 'x');
        setAttributeSync(join(folder, 'x'), 'trusted.large', Buffer.alloc(40_000));
        const source = filesSource({ source_path: [folder] });
        const items = await collect(await filesEngine.dump(source, wholeRequest));
        expect(items[1]!.entry.xattrs).toBeUndefined();
        expect(source.warnings).toEqual([
          { message: expect.stringContaining('not saved'), subject: join(folder, 'x'), partial: true },
        ]);
      } finally {
        fs.rmSync(folder, { recursive: true });
      }
    },
  );
});

async function asNobody<T>(run: () => Promise<T>): Promise<T> {
  process.setegid!(65534);
  process.seteuid!(65534);
  try {
    return await run();
  } finally {
    process.seteuid!(0);
    process.setegid!(0);
  }
}

function rewrite(path: string): void {
  const fd = fs.openSync(path, 'r+');
  fs.writeSync(fd, 'overwritten', 3 * MIB);
  fs.closeSync(fd);
}
