import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getAttributeSync, listAttributesSync } from 'fs-xattr';
import { fromBytes, toBytes } from '../../../src/archive/paths.ts';
import type { WalkRequest } from '../../../src/engines/files/dump/walk.ts';
import type { FilesOptions } from '../../../src/engines/files/options.ts';
import type { DumpRequest, EngineSource, RestoreRequest, Warning } from '../../../src/engines/types.ts';

export const isRoot = process.getuid?.() === 0;
const MIB = 1024 * 1024;

/** A folder of this test's own. */
export function tempFolder(): string {
  return fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'dguard-files-')));
}

export function removeFolder(path: string): void {
  if (!isRoot) execFileSync('chmod', ['-R', 'u+rwx', path], { stdio: 'ignore' });
  fs.rmSync(path, { recursive: true, force: true });
}

/** A path with a name that is not text. */
export function bytePath(folder: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), toBytes(name)]);
}

/** Sets times long ago, so that nothing is `unsure` for being new (ctime cannot be set: see `settledNow`). */
export function age(path: string | Buffer, seconds = 1_700_000_000): void {
  fs.lutimesSync(path, seconds, seconds);
}

/** A clock that runs ahead far enough for files made just now to be settled. */
export const settledNow = () => new Date(Date.now() + 60_000);

/** Everything that a file system can hold and that has broken a backup before. Closes its socket by `close`. */
export async function makeHostileTree(root: string): Promise<{ close: () => Promise<void> }> {
  fs.mkdirSync(root, { recursive: true });
  const write = (name: string, data: string | Buffer = name, mode = 0o644) => {
    fs.mkdirSync(join(root, name, '..'), { recursive: true });
    fs.writeFileSync(join(root, name), data);
    fs.chmodSync(join(root, name), mode);
  };
  write('plain.txt', 'hello\n');
  write('empty');
  fs.truncateSync(join(root, 'empty'), 0);
  write('modes/0000', 'nobody', 0o000);
  write('modes/0400', 'read only', 0o400);
  write('modes/setuid', '#!/bin/true', 0o4755);
  write('modes/setgid', '#!/bin/true', 0o2755);
  fs.mkdirSync(join(root, 'modes/sticky'));
  fs.chmodSync(join(root, 'modes/sticky'), 0o1777);
  fs.mkdirSync(join(root, 'modes/closed'));
  write('modes/closed/in', 'in');
  fs.mkdirSync(join(root, 'no-content/at/all'), { recursive: true });
  // Sort order: `/` is below every other byte.
  write('order/a/x');
  write('order/a-b');
  write('order/a.b');
  write('order/a0');
  write('order/A');
  // Sizes about the border of what is read whole.
  write('sizes/1MiB-1', noise(MIB - 1, 1));
  write('sizes/1MiB', noise(MIB, 2));
  write('sizes/1MiB+1', noise(MIB + 1, 3));
  write('sizes/3MiB', noise(3 * MIB + 17, 4));
  write('sizes/10MiB', noise(10 * MIB, 5));
  // Holes before, between and after data.
  const sparse = fs.openSync(join(root, 'sizes/sparse'), 'w');
  fs.writeSync(sparse, 'middle', 5 * MIB + 100);
  fs.ftruncateSync(sparse, 9 * MIB + 1);
  fs.closeSync(sparse);
  write('sizes/zeros-but-not-sparse', Buffer.alloc(64 * 1024));
  // Names.
  write(`names/${'n'.repeat(255)}`);
  write(`names/${'d'.repeat(120)}/${'e'.repeat(120)}/${'f'.repeat(120)}`);
  write(`names/${Array.from({ length: 6 }, (_, at) => String(at).repeat(200)).join('/')}/deep`);
  write('names/new\nline');
  write('names/\x1b[31mred\x07\t');
  write('names/emoji \u{1f600} é 日本');
  write('names/ leading and trailing ');
  write('names/quotes\'"`$(x)\\');
  write('names/-rf');
  write('names/*?[a]{b}');
  fs.writeFileSync(bytePath(join(root, 'names'), 'latin1-\xe9\xff'), 'not utf-8');
  fs.mkdirSync(bytePath(join(root, 'names'), 'folder-\xfe'));
  fs.writeFileSync(bytePath(join(root, 'names'), 'folder-\xfe/\x80'), 'inside');
  // Links.
  write('links/first', 'one of three names');
  fs.linkSync(join(root, 'links/first'), join(root, 'links/second'));
  fs.mkdirSync(join(root, 'links/sub'));
  fs.linkSync(join(root, 'links/first'), join(root, 'links/sub/third'));
  write('links/big-first', noise(2 * MIB, 6));
  fs.linkSync(join(root, 'links/big-first'), join(root, 'links/zz-big'));
  fs.symlinkSync('first', join(root, 'links/to-file'));
  fs.symlinkSync('../links', join(root, 'links/to-folder'));
  fs.symlinkSync('/etc/passwd', join(root, 'links/absolute'));
  fs.symlinkSync('nowhere/at all', join(root, 'links/dangling'));
  fs.symlinkSync('x'.repeat(500), join(root, 'links/long'));
  fs.symlinkSync(toBytes('\xff\xfe'), join(root, 'links/odd-target'));
  // Times.
  write('times/1969');
  write('times/2100');
  write('times/nanoseconds');
  const touch = (name: string, when: string) => execFileSync('touch', ['-h', '-d', when, join(root, name)]);
  touch('times/1969', '@-1000000.123456');
  touch('times/2100', '@4102444800.999999999');
  touch('times/nanoseconds', '@1600000000.123456789');
  touch('links/to-file', '@1500000000.000001');
  // Special files.
  execFileSync('mkfifo', ['-m', '640', join(root, 'special-fifo')]);
  execFileSync('mkfifo', [bytePath(root, 'x').toString().replace(/x$/, 'fifo with a space')]);
  const socket = await listenAt(join(root, 'special-socket'));
  // Attributes.
  write('attributes/xattrs', 'x');
  execFileSync('setfattr', ['-n', 'user.plain', '-v', 'value', join(root, 'attributes/xattrs')]);
  execFileSync('setfattr', ['-n', 'user.binary', '-v', '0x00ff0a3d00', join(root, 'attributes/xattrs')]);
  execFileSync('setfattr', ['-n', 'user.empty', join(root, 'attributes/xattrs')]);
  execFileSync('setfattr', ['-n', 'user.folder', '-v', 'f', join(root, 'attributes')]);
  write('attributes/acl', 'y', 0o640);
  execFileSync('setfacl', ['-m', 'u:1:rw,g:2:r', join(root, 'attributes/acl')]);
  fs.mkdirSync(join(root, 'attributes/default-acl'));
  execFileSync('setfacl', ['-d', '-m', 'u:1:rwx', join(root, 'attributes/default-acl')]);
  if (isRoot) {
    write('owners/daemon');
    fs.chownSync(join(root, 'owners/daemon'), 1, 1);
    write('owners/unknown');
    fs.chownSync(join(root, 'owners/unknown'), 3_000_000, 3_000_001);
    fs.symlinkSync('daemon', join(root, 'owners/link'));
    fs.lchownSync(join(root, 'owners/link'), 2, 2);
    // chown took the bits away where it was made; here they are set after it.
    write('owners/setuid-daemon', '#!', 0o755);
    fs.chownSync(join(root, 'owners/setuid-daemon'), 1, 1);
    fs.chmodSync(join(root, 'owners/setuid-daemon'), 0o6711);
    execFileSync('mknod', ['-m', '620', join(root, 'special-char'), 'c', '1', '3']);
    execFileSync('mknod', ['-m', '600', join(root, 'special-block'), 'b', '259', '1048000']);
    fs.chmodSync(join(root, 'modes/closed'), 0o000);
  }
  touch('order', '@1234567890.5');
  touch('.', '@1234567891.25');
  return { close: () => new Promise((resolve) => socket.close(() => resolve())) };
}

/** Bytes that do not compress and are the same for the same seed. */
export function noise(sizeBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let at = 0; at < sizeBytes; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[at] = state;
  }
  return bytes;
}

async function listenAt(path: string): Promise<Server> {
  const server = createServer();
  // A socket's address is at most 107 bytes: it is made elsewhere and moved.
  const short = join(fs.mkdtempSync(join(tmpdir(), 's-')), 's');
  await new Promise<void>((resolve) => server.listen(short, resolve));
  server.unref();
  fs.renameSync(short, path);
  return server;
}

/**
 * Everything about each entry below a folder, one line each, except ctime, inode numbers and atime; times
 * to the microsecond. Two trees are the same when these are equal.
 */
export function describeTree(root: string | Buffer): string[] {
  const lines: string[] = [];
  const inodes = new Map<string, string>();
  const base = Buffer.from(root);
  const visit = (relative: string) => {
    const path = relative === '' ? base : Buffer.concat([base, Buffer.from('/'), toBytes(relative)]);
    const stat = fs.lstatSync(path, { bigint: true });
    const line: Record<string, unknown> = {
      path: relative,
      mode: ((Number(stat.mode) & 0o170000) | (Number(stat.mode) & 0o7777)).toString(8),
      owner: `${stat.uid}:${stat.gid}`,
      mtimeUs: String((stat.mtimeNs - (((stat.mtimeNs % 1000n) + 1000n) % 1000n)) / 1000n),
    };
    if (stat.isSymbolicLink()) line['link'] = fromBytes(fs.readlinkSync(path, { encoding: 'buffer' }));
    if (stat.isCharacterDevice() || stat.isBlockDevice()) line['rdev'] = String(stat.rdev);
    if (!stat.isDirectory() && stat.nlink > 1n) {
      const first = inodes.get(`${stat.ino}`);
      if (first === undefined) inodes.set(`${stat.ino}`, relative);
      line['sameAs'] = first ?? relative;
    }
    if (stat.isFile()) {
      line['size'] = String(stat.size);
      line['sha256'] = createHash('sha256').update(fs.readFileSync(path)).digest('hex');
      line['sparse'] = stat.blocks * 512n < stat.size;
    }
    if (stat.isFile() || stat.isDirectory()) {
      const fd = fs.openSync(path, 'r');
      const name = `/proc/self/fd/${fd}`;
      const xattrs = listAttributesSync(name).sort();
      if (xattrs.length > 0) {
        line['xattrs'] = xattrs.map((xattr) => `${xattr}=${getAttributeSync(name, xattr).toString('hex')}`);
      }
      fs.closeSync(fd);
    }
    lines.push(JSON.stringify(line));
    if (!stat.isDirectory()) return;
    for (const name of fs.readdirSync(path, 'latin1').sort())
      visit(relative === '' ? name : `${relative}/${name}`);
  };
  visit('');
  return lines;
}

/** A source with sensible facts; `warnings` collects what it is told. */
export function filesSource(
  options: Partial<FilesOptions> & { source_path: readonly string[] },
  more: Partial<EngineSource<FilesOptions>> = {},
): EngineSource<FilesOptions> & { warnings: Warning[] } {
  const warnings: Warning[] = [];
  return {
    name: 'files',
    options: { include_patterns: [], exclude_patterns: [], ...options },
    signal: new AbortController().signal,
    tempDir: tmpdir(),
    host: { name: 'testhost', bootId: '', pid: process.pid, privileged: isRoot },
    now: settledNow,
    env: process.env,
    warn: (warning) => warnings.push(warning),
    warnings,
    ...more,
  };
}

export const wholeRequest: DumpRequest = {
  format: 'native',
  include: [],
  exclude: [],
  parallelJobs: 1,
  ownPaths: [],
};

export function restoreRequest(
  more: Partial<RestoreRequest<FilesOptions>> = {},
): RestoreRequest<FilesOptions> & { warnings: Warning[] } {
  const warnings: Warning[] = [];
  return {
    signal: new AbortController().signal,
    now: () => new Date(),
    host: { name: 'testhost', bootId: '', pid: process.pid, privileged: isRoot },
    tempDir: tmpdir(),
    warn: (warning) => warnings.push(warning),
    only: [],
    overwrite: false,
    deleteExtra: false,
    scratch: false,
    dryRun: false,
    privileged: false,
    backupId: 'full-2026-01-02T03-04-05Z-abcd2345',
    onProgress: () => undefined,
    warnings,
    ...more,
  };
}

/** A walk of one folder: all of it but what is called `*.left-out`. */
export function walkRequest(path: string): WalkRequest {
  return {
    roots: [{ path, entry: '' }],
    includes: [],
    excludes: [['*.left-out']],
    oneFileSystem: false,
    excludeIfPresent: [],
    excludeCaches: true,
    ownPaths: new Set(),
  };
}

/** Paths below a folder that this process has open. */
export function openFilesBelow(folder: string): string[] {
  return fs.readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = fs.readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(folder) ? [path] : [];
    } catch {
      return [];
    }
  });
}
