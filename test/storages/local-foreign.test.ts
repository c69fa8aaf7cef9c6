import { execFileSync } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { localStorage } from '../../src/storages/local.ts';
import { collect } from './support.ts';
import { base, keys, open, root, text } from './support-local.ts';

describe('what is not an object is not listed, read, written or deleted', () => {
  const outside = () => join(base, 'outside');
  beforeEach(() => {
    mkdirSync(join(root, 'a'), { recursive: true });
    mkdirSync(outside());
    writeFileSync(join(outside(), 'secret'), 'secret');
  });

  test('foreign names and unfinished files', async () => {
    const foreign = ['a/with space', 'a/ümlaut', 'a/.dguard-tmp-00ff', 'a/new\nline', 'lost+found'];
    for (const name of foreign) writeFileSync(join(root, name), 'x');
    mkdirSync(join(root, 'bad dir'));
    writeFileSync(join(root, 'bad dir/x'), 'x');
    await open().put('a/x', text('x'));
    expect(await keys()).toEqual(['a/x']);
    await open().delete('a/x');
    for (const name of [...foreign, 'bad dir/x']) expect(readFileSync(join(root, name), 'utf8')).toBe('x');
  });

  test('a link to a file', async () => {
    symlinkSync(join(outside(), 'secret'), join(root, 'a/link'));
    symlinkSync(join(outside(), 'new'), join(root, 'a/dangling'));
    expect(await keys()).toEqual([]);
    for (const key of ['a/link', 'a/dangling']) {
      expect(await open().stat(key)).toBeUndefined();
      await expect(collect(open().get(key))).rejects.toMatchObject({ code: 'storage_not_found' });
      await expect(open().put(key, text('x'))).rejects.toMatchObject({ code: 'storage_exists' });
      await open().delete(key);
      expect(lstatSync(join(root, key)).isSymbolicLink()).toBe(true);
    }
    expect(readdirSync(outside())).toEqual(['secret']);
  });

  test('a link to a folder, also one put in the place of a folder in use', async () => {
    const storage = open();
    await storage.put('used/x', text('x'));
    renameSync(join(root, 'used'), join(base, 'moved'));
    symlinkSync(outside(), join(root, 'used'));
    symlinkSync(outside(), join(root, 'dir'));
    for (const dir of ['used', 'dir']) {
      expect(await keys(storage)).toEqual([]);
      expect(await keys(storage, `${dir}/`)).toEqual([]);
      expect(await storage.stat(`${dir}/secret`)).toBeUndefined();
      await expect(collect(storage.get(`${dir}/secret`))).rejects.toMatchObject({
        code: 'storage_not_found',
      });
      await storage.delete(`${dir}/secret`);
      for (const key of [`${dir}/new`, `${dir}/sub/new`]) {
        await expect(storage.put(key, text('x'))).rejects.toMatchObject({ code: 'storage_failed' });
      }
    }
    expect(readdirSync(outside(), { recursive: true })).toEqual(['secret']);
  });

  test('is said once, where it leads to a folder: whoever moved one there sees no backup of it', async () => {
    const said: string[] = [];
    const storage = localStorage({ path: root }, { name: 'nas', warn: (message) => void said.push(message) });
    symlinkSync(join(outside(), 'secret'), join(root, 'a/file'));
    symlinkSync(join(outside(), 'nowhere'), join(root, 'a/dangling'));
    await keys(storage);
    expect(said).toEqual([]);
    symlinkSync(outside(), join(root, 'a/folder'));
    await keys(storage);
    await keys(storage);
    expect(said).toEqual([expect.stringMatching(/behind a link are not seen: a\/folder \(/)]);
  });

  test('a pipe does not hang a read', async () => {
    execFileSync('mkfifo', [join(root, 'a/pipe')]);
    expect(await keys()).toEqual([]);
    await expect(collect(open().get('a/pipe'))).rejects.toMatchObject({ code: 'storage_not_found' });
  });

  test('a file where a folder is needed', async () => {
    await open().put('file', text('x'));
    await expect(open().put('file/below', text('x'))).rejects.toMatchObject({
      code: 'storage_failed',
      message: expect.stringContaining('where a folder is needed'),
    });
    expect(await keys()).toEqual(['file']);
  });
});
