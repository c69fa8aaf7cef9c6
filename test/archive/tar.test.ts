import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extract, type Header } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EntryRecord } from '../../src/archive/entry.ts';
import { tarEnd, tarHeader, tarPadding } from '../../src/archive/tar/header.ts';

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'dguard-tar-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const isRoot = process.getuid?.() === 0;

function record(path: string, more: Partial<EntryRecord> = {}): EntryRecord {
  return {
    path,
    kind: 'file',
    size: 0,
    mtimeNs: 1_600_000_000_000_000_000n,
    ctimeNs: 0n,
    ino: 1n,
    dev: 1n,
    mode: 0o644,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    ...more,
  };
}

/** A tar of these records; a file's content is its own path, cut to nothing where the size says so. */
function tarOf(...entries: EntryRecord[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = entry.kind === 'file' ? Buffer.from(entry.path, 'latin1') : Buffer.alloc(0);
    const sized = { ...entry, size: content.length };
    return [tarHeader(sized), content, tarPadding(content.length)];
  });
  return Buffer.concat([...parts, tarEnd()]);
}

function gnuTar(archive: Buffer, ...args: string[]): string {
  return execFileSync('tar', args, {
    input: archive,
    cwd: folder,
    encoding: 'latin1',
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, TZ: 'UTC' },
  });
}

async function headersOf(archive: Buffer) {
  const headers: Header[] = [];
  const reader = extract();
  reader.end(archive);
  for await (const entry of reader) {
    headers.push(entry.header);
    entry.resume();
  }
  return headers;
}

const long = (length: number) =>
  Array.from({ length: Math.ceil(length / 50) }, () => String(length).padEnd(49, 'x')).join('/');

describe('tarHeader', () => {
  it('is one ustar block where the entry fits, and more only where it does not', () => {
    const fits: Partial<EntryRecord>[] = [
      {},
      { path: 'n'.repeat(100) },
      { path: `${'p'.repeat(155)}/${'n'.repeat(100)}` },
      { path: `${'p'.repeat(155)}/${'n'.repeat(99)}`, kind: 'directory' },
      { kind: 'symlink', link: 'l'.repeat(100) },
      { size: 0o77777777777 },
      { uid: 0o7777777, gid: 0o7777777 },
      { user: 'u'.repeat(31) },
      { mtimeNs: 1_600_000_000_123_456_789n },
    ];
    for (const more of fits) expect(tarHeader(record('a', more)).length, JSON.stringify(more.path)).toBe(512);
    const odd: Partial<EntryRecord>[] = [
      { path: 'n'.repeat(101) },
      { path: `${'p'.repeat(156)}/n`.padEnd(256, 'n') },
      { path: `p/${'n'.repeat(100)}`, kind: 'directory' },
      { path: 'é' },
      { kind: 'symlink', link: 'l'.repeat(101) },
      { size: 0o77777777777 + 1 },
      { uid: 0o7777777 + 1 },
      { user: 'u'.repeat(32) },
      { mtimeNs: -1n },
      { xattrs: [{ name: 'user.a', value: Buffer.from('b') }] },
    ];
    for (const more of odd) {
      const header = tarHeader(record('a', more));
      expect(header.length % 512).toBe(0);
      expect(header.length).toBeGreaterThanOrEqual(1536);
      expect(header.toString('latin1', 156, 157)).toBe('x');
    }
  });

  it('of a socket is empty: tar knows none', () => {
    expect(tarHeader(record('s', { kind: 'socket' })).length).toBe(0);
  });

  it('is what tar-stream reads back', async () => {
    const entries = [
      record('', { kind: 'directory', mode: 0o750 }),
      record('dir', { kind: 'directory', mode: 0o1777, user: 'root', group: 'wheel' }),
      record(long(90)),
      record(long(240)),
      record(long(2000)),
      record('\xc3\xa9 \xf0\x9f\x98\x80'),
      record('new\nline'),
      record('big-owner', { uid: 3_000_000, gid: 2_500_000, user: 'u'.repeat(40) }),
      record('link', { kind: 'symlink', link: long(300) }),
      record('hard', { kind: 'hardlink', link: 'new\nline' }),
      record('char', { kind: 'char_device', device: { major: 4, minor: 1_048_575 } }),
      record('fifo', { kind: 'fifo' }),
    ];
    const headers = await headersOf(tarOf(...entries));
    expect(headers.map(({ name }) => Buffer.from(name).toString('latin1'))).toEqual(
      entries.map(({ path, kind }) => (kind === 'directory' ? `${path || '.'}/` : path)),
    );
    expect(headers[1]).toMatchObject({ mode: 0o1777, uname: 'root', gname: 'wheel', type: 'directory' });
    // tar-stream takes sizes and names from pax records, and leaves the rest to its caller.
    expect(headers[7]!.pax).toMatchObject({ uid: '3000000', gid: '2500000', uname: 'u'.repeat(40) });
    expect(headers[8]).toMatchObject({ type: 'symlink', linkname: long(300) });
    expect(headers[9]).toMatchObject({ type: 'link', linkname: 'new\nline' });
    expect(headers[10]).toMatchObject({ type: 'character-device', devmajor: 4, devminor: 1_048_575 });
  });

  it('says sizes of 8 GiB and more in a pax record', async () => {
    const sizes = [0o77777777777, 0o77777777777 + 1, 5e12];
    for (const size of sizes) {
      const reader = extract();
      const seen = new Promise<number | undefined>((resolve) => {
        reader.on('entry', (header) => resolve(header.size));
      });
      reader.write(tarHeader(record('big', { size })));
      expect(await seen).toBe(size);
      reader.destroy();
    }
  });

  it('has pax records whose length counts its own digits', () => {
    for (let length = 80; length < 1200; length += 1) {
      const header = tarHeader(record('a', { kind: 'symlink', link: 'l'.repeat(length + 21) }));
      const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
      const records = header.toString('latin1', 512, 512 + size);
      expect(Number.parseInt(records, 10)).toBe(size);
      expect(records.endsWith('l\n')).toBe(true);
    }
  });
});

describe('GNU tar', () => {
  it('lists what is in it without a complaint', () => {
    const listing = gnuTar(
      tarOf(
        record('', { kind: 'directory', mode: 0o755 }),
        record('f', { mode: 0o4751 }),
        record('old', { mtimeNs: -86_400_000_000_000n }),
        record('l', { kind: 'symlink', link: 'f' }),
      ),
      '-tvf',
      '-',
      '--full-time',
      '--numeric-owner',
    );
    const lines = listing.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^drwxr-xr-x .* 2020-09-13 12:26:40 \.\/$/);
    expect(lines[1]).toMatch(/^-rwsr-x--x .* f$/);
    expect(lines[2]).toMatch(/1969-12-31 00:00:00 old$/);
    expect(lines[3]).toMatch(/^lrw.* l -> f$/);
  });

  it('restores names, modes, links, long names, names that are not UTF-8, and times', () => {
    const odd = '\xff\xfe-latin1-\xe9';
    const entries = [
      record('', { kind: 'directory', mode: 0o755 }),
      record('d', { kind: 'directory', mode: 0o700 }),
      record('d/file', { mode: 0o640 }),
      record(long(240)),
      record(long(1500)),
      record('n'.repeat(255)),
      record('new\nline and \x07'),
      record('\xc3\xa9-utf8'),
      record(odd, { mtimeNs: 1_500_000_000_123_456_789n }),
      record('hard', { kind: 'hardlink', link: odd }),
      record('soft', { kind: 'symlink', link: `to/${odd}` }),
      record('pipe', { kind: 'fifo', mode: 0o600 }),
    ];
    for (const locale of ['C', 'C.UTF-8']) {
      const to = join(folder, locale);
      fs.mkdirSync(to);
      const archive = join(folder, 'a.tar');
      fs.writeFileSync(archive, tarOf(...entries));
      // It mentions `hdrcharset`, which it does not know, and takes the bytes as they are.
      execFileSync('tar', ['-xpf', archive, '-C', to], {
        env: { ...process.env, LC_ALL: locale },
        stdio: 'pipe',
      });
      for (const { path, kind, mode } of entries) {
        const name = Buffer.from(`${to}/${path}`, 'latin1');
        const stat = fs.lstatSync(name);
        if (kind !== 'symlink' && kind !== 'hardlink') expect(stat.mode & 0o7777).toBe(mode);
        if (kind === 'file') expect(fs.readFileSync(name, 'latin1')).toBe(path);
      }
      const restored = fs.lstatSync(Buffer.from(`${to}/${odd}`, 'latin1'), { bigint: true });
      expect(restored.mtimeNs).toBe(1_500_000_000_123_456_789n);
      expect(fs.lstatSync(join(to, 'hard'), { bigint: true }).ino).toBe(restored.ino);
      expect(fs.readlinkSync(join(to, 'soft'), 'latin1')).toBe(`to/${odd}`);
      expect(fs.lstatSync(join(to, 'pipe')).isFIFO()).toBe(true);
    }
  });

  it('restores extended attributes and ACLs with --xattrs', () => {
    const acl = Buffer.from('0200000001000600ffffffff02000600010000000400040000000000'.slice(0, 8), 'hex');
    // struct posix_acl_xattr: version 2, then tag, permissions, id of each entry (little endian).
    const entries = [
      [1, 6, -1],
      [2, 6, 1],
      [4, 4, -1],
      [16, 6, -1],
      [32, 4, -1],
    ].map(([tag, permissions, id]) => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt16LE(tag!, 0);
      bytes.writeUInt16LE(permissions!, 2);
      bytes.writeInt32LE(id!, 4);
      return bytes;
    });
    const xattrs = [
      { name: 'system.posix_acl_access', value: Buffer.concat([acl, ...entries]) },
      { name: 'user.binary', value: Buffer.from([0, 255, 10, 61, 0]) },
      { name: 'user.a=b%c', value: Buffer.from('odd name') },
    ];
    const archive = tarOf(record('x', { xattrs, mode: 0o664 }));
    gnuTar(archive, '-xpf', '-', '--xattrs', '--xattrs-include=*');
    const attributes = execFileSync('getfattr', ['-d', '-m', '-', '-e', 'hex', 'x'], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect(attributes).toContain('user.binary=0x00ff0a3d00');
    expect(attributes).toContain(
      `user.a=b%c=0x${Buffer.from('odd name').toString('hex')}`.replaceAll('=b', '\\075b'),
    );
    expect(execFileSync('getfacl', ['-n', 'x'], { cwd: folder, encoding: 'utf8' })).toContain('user:1:rw-');
  });

  it.runIf(isRoot)('restores devices and owners', () => {
    gnuTar(
      tarOf(
        record('owned', { uid: 3_000_000, gid: 7 }),
        record('null', { kind: 'char_device', device: { major: 1, minor: 3 }, mode: 0o666 }),
        record('disk', { kind: 'block_device', device: { major: 259, minor: 1_048_000 } }),
      ),
      '-xpf',
      '-',
    );
    expect(fs.statSync(join(folder, 'owned'))).toMatchObject({ uid: 3_000_000, gid: 7 });
    expect(execFileSync('stat', ['-c', '%F %t %T', 'null', 'disk'], { cwd: folder, encoding: 'utf8' })).toBe(
      'character special file 1 3\nblock special file 103 ffdc0\n',
    );
  });
});

it('tarPadding fills up to whole blocks with zeros', () => {
  expect([0, 1, 511, 512, 513, 2 ** 40 + 1].map((size) => tarPadding(size).length)).toEqual([
    0, 511, 1, 0, 511, 511,
  ]);
  expect(tarEnd().equals(Buffer.alloc(1024))).toBe(true);
});
