import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openDumpFolder } from '../../../src/engines/mongodb/dump/folder.ts';

const EMPTY_DOCUMENT = Buffer.from([5, 0, 0, 0, 0]);

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dguard-dump-folder-'));
  mkdirSync(join(folder, 'shop'));
  writeFileSync(join(folder, 'shop', 'orders.bson'), EMPTY_DOCUMENT);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const openIt = (path: string) =>
  openDumpFolder(path, { signal: new AbortController().signal, warn: () => undefined });

it('a pipe or a device in the place of a file, or of the folder, is refused and not waited for', async () => {
  const pipe = join(folder, 'shop', 'customers.metadata.json');
  execFileSync('mkfifo', [pipe]);
  await expect(openIt(pipe)).rejects.toMatchObject({ code: 'unsupported', message: /it is no folder/ });
  await expect(openIt(folder)).rejects.toMatchObject({ code: 'unsupported', subject: pipe });
  rmSync(pipe);
  symlinkSync('/dev/zero', join(folder, 'shop', 'zeros.bson'));
  await expect(openIt(folder)).rejects.toMatchObject({ code: 'unsupported', message: /it is no file/ });
});

it('a link to a file is read as the file', async () => {
  writeFileSync(join(folder, 'elsewhere'), EMPTY_DOCUMENT);
  symlinkSync(join(folder, 'elsewhere'), join(folder, 'shop', 'linked.bson'));
  const { content, database } = await openIt(folder);
  expect(database).toBe('shop');
  const paths: string[] = [];
  for await (const entry of content.entries()) if (entry.type === 'stream') paths.push(entry.path);
  expect(paths.sort()).toEqual(['shop/linked.bson', 'shop/orders.bson']);
});
