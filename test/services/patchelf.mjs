import { closeSync, existsSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from './child.mjs';

/**
 * Points every dynamic program of an unpacked Debian tree at the loader and the libraries that were unpacked with it,
 * so that it runs on a machine with an older C library.
 * @param {string} root holds `usr/bin` …
 * @param {string[]} extraLibraryFolders below `usr/lib`
 * @param {() => string} findPatchelf called only when there is a dynamic program
 */
export function patchPrograms(root, extraLibraryFolders, findPatchelf) {
  const lib = join(root, 'usr/lib');
  const system = children(lib).find((path) => /-linux-gnu\w*$/.test(path));
  const loader = system && children(system).find((path) => /\/ld-linux[^/]*\.so\.\d+$/.test(path));
  const postgres = children(join(lib, 'postgresql'));
  const folders = [
    join(root, 'usr/bin'),
    join(root, 'usr/sbin'),
    ...postgres.map((path) => join(path, 'bin')),
  ];
  const programs = folders.flatMap(children).filter(isDynamicElf);
  if (programs.length === 0) return;
  if (!loader) throw new Error(`no loader was unpacked into ${root}`);

  const patchelf = findPatchelf();
  const rpath = [system, ...extraLibraryFolders.map((folder) => join(lib, folder))].join(':');
  for (const program of programs) {
    run(patchelf, ['--set-interpreter', loader, '--force-rpath', '--set-rpath', rpath, program]);
  }
  for (const library of postgres.flatMap((path) => children(join(path, 'lib'))).filter(isElf)) {
    run(patchelf, ['--force-rpath', '--set-rpath', `${rpath}:${dirname(library)}`, library]);
  }
}

function children(folder) {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

function isElf(path) {
  return head(path, 4).toString('latin1') === '\x7fELF';
}

/** Whether the program names a loader (a PT_INTERP segment, type 3): a static one needs no patch. See elf(5). */
function isDynamicElf(path) {
  const header = head(path, 64);
  if (header.length < 64 || header.toString('latin1', 0, 4) !== '\x7fELF' || header[4] !== 2) return false;
  const tableOffset = Number(header.readBigUInt64LE(32));
  const entrySize = header.readUInt16LE(54);
  const entries = header.readUInt16LE(56);
  const table = head(path, entrySize * entries, tableOffset);
  return Array.from({ length: entries }, (_, i) => table.readUInt32LE(i * entrySize)).includes(3);
}

function head(path, sizeBytes, offset = 0) {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return Buffer.alloc(0);
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(sizeBytes);
    return bytes.subarray(0, readSync(fd, bytes, 0, sizeBytes, offset));
  } finally {
    closeSync(fd);
  }
}
