import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileModule } from './compiled.ts';
import { listed } from './support.ts';
import { base, keys, open, root, text } from './support-local.ts';

const ROOT_USER = process.getuid?.() === 0;

describe('the root', () => {
  test('missing, it lists nothing, and the first put makes it', async () => {
    const storage = open();
    expect(await keys(storage)).toEqual([]);
    expect(await storage.stat('x')).toBeUndefined();
    await storage.delete('x');
    expect((await storage.space()).freeBytes).toBeGreaterThan(0);
    expect(existsSync(root)).toBe(false);
    await storage.put('x', text('x'));
    expect(await keys(storage)).toEqual(['x']);
  });

  test('that vanishes after use is an error, not an empty list', async () => {
    const storage = open();
    await storage.put('x', text('x'));
    rmSync(root, { recursive: true });
    await expect(keys(storage)).rejects.toMatchObject({ code: 'storage_missing' });
  });

  test.each(['vanishes', 'is replaced by another'])(
    'that %s while it is listed is an error, not a shortened list',
    async (what) => {
      const storage = open();
      for (const key of ['a/1', 'b/2', 'c/3']) await storage.put(key, text('x'));
      const list = storage.list('')[Symbol.asyncIterator]();
      expect((await list.next()).value.key).toBe('a/1');
      renameSync(root, `${root}-gone`);
      if (what !== 'vanishes') mkdirSync(root);
      const rest = async () => {
        while (!(await list.next()).done);
      };
      await expect(rest()).rejects.toMatchObject({ code: 'storage_missing' });
    },
  );

  test('may be a link to a folder', async () => {
    mkdirSync(join(base, 'disk'));
    symlinkSync(join(base, 'disk'), root);
    await open().put('a/x', text('x'));
    expect(await keys()).toEqual(['a/x']);
    expect(readdirSync(join(base, 'disk'))).toEqual(['a']);
    await open().delete('a/x');
    expect(lstatSync(root).isSymbolicLink()).toBe(true);
  });

  test.runIf(existsSync('/proc/self'))(
    'where no folder can be made a put fails, and does not try for ever',
    async () => {
      const nowhere = open({ path: '/proc/self/dguard-test/store' });
      await expect(nowhere.put('k', text('x'))).rejects.toMatchObject({ code: 'storage_failed' });
      symlinkSync(join(base, 'unplugged'), join(base, 'disk'));
      const unplugged = open({ path: join(base, 'disk/store') });
      await expect(unplugged.put('k', text('x'))).rejects.toMatchObject({ code: 'storage_failed' });
      expect(readdirSync(base)).toEqual(['disk']);
    },
  );

  test('a link to nothing is a disk that is not there', async () => {
    symlinkSync(join(base, 'unplugged'), root);
    const missing = { code: 'storage_missing' };
    await expect(keys()).rejects.toMatchObject(missing);
    await expect(open().put('x', text('x'))).rejects.toMatchObject(missing);
    expect(existsSync(join(base, 'unplugged'))).toBe(false);
  });

  // Datasources of one run open a new destination side by side: some look while another makes it.
  test('a folder that is made while it is looked for is no link to nothing', async () => {
    for (let round = 0; round < 300; round++) {
      const looking = Array.from({ length: 12 }, () => listed(open(), ''));
      await mkdir(root);
      const found = await Promise.all(looking);
      expect(found).toEqual(looking.map(() => []));
      rmSync(root, { recursive: true });
    }
  });

  test('a file is refused by every call', async () => {
    writeFileSync(root, 'precious');
    const refused = { code: 'storage_failed', message: expect.stringContaining('is a file, not a folder') };
    await expect(keys()).rejects.toMatchObject(refused);
    await expect(open().put('x', text('x'))).rejects.toMatchObject(refused);
    await expect(open().stat('x')).rejects.toMatchObject(refused);
    await expect(open({ path: join(root, 'below') }).put('x', text('x'))).rejects.toMatchObject({
      code: 'storage_failed',
    });
    expect(readFileSync(root, 'utf8')).toBe('precious');
  });

  test.runIf(ROOT_USER)('an unreadable folder is an error, not an empty list [needs root]', async () => {
    await open().put('a/x', text('x'));
    await open().put('b/x', text('x'));
    chmodSync(join(root, 'a'), 0);
    for (const folder of [base, root, join(root, 'b')]) chmodSync(folder, 0o755);
    const compiled = await compileModule('storages/local.ts', join(base));
    const script = `
      import { localStorage } from ${JSON.stringify(compiled)};
      const storage = localStorage({ path: ${JSON.stringify(root)} }, { name: 'x', warn() {} });
      const found = [];
      try { for await (const { key } of storage.list('')) found.push(key); console.log('listed', found); }
      catch (error) { console.log(error.code, error.message); }`;
    execFileSync('chmod', ['-R', 'a+rX', ...readdirSync(base).filter((n) => n !== 'store')], { cwd: base });
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
      uid: 65534,
      gid: 65534,
      encoding: 'utf8',
      cwd: '/',
    });
    expect(output).toMatch(/^storage_failed .*EACCES/);
  });
});
