import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { freeBytesOf, makeFolders } from '../src/folders.ts';

it('makes what is missing, for its owner alone, and leaves what is there', () => {
  const root = mkdtempSync(join(tmpdir(), 'dguard-folders-'));
  try {
    makeFolders(join(root, 'a/b/c'));
    makeFolders(join(root, 'a/b/c'));
    expect(statSync(join(root, 'a/b/c')).mode & 0o777).toBe(0o700);
    writeFileSync(join(root, 'file'), '');
    expect(() => makeFolders(join(root, 'file/below'))).toThrow(/ENOTDIR|EEXIST/);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

it('knows the room on a disk, and that a file system that does not say how large it is is not full', async () => {
  expect(await freeBytesOf(tmpdir())).toBeGreaterThan(0);
  expect(await freeBytesOf('/proc')).toBeUndefined();
});
