import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesEngine } from '../../../src/engines/files/engine.ts';
import { inspectIn } from '../support.ts';
import {
  bytePath,
  describeTree,
  filesSource,
  isRoot,
  makeHostileTree,
  removeFolder,
  restoreRequest,
  settledNow,
  tempFolder,
  wholeRequest,
} from './support.ts';
import { collect, inOrder, memoryContent } from './support-items.ts';

let root: string;
beforeEach(() => {
  root = tempFolder();
});
afterEach(() => removeFolder(root));

async function backup(paths: readonly string[]) {
  const source = filesSource({ source_path: paths });
  const dump = await filesEngine.dump(source, wholeRequest);
  const items = await collect(dump);
  const facts = await dump.facts();
  await dump.close();
  return { source, dump, items, facts, content: memoryContent(items, dump.sources ?? [], facts.files_count) };
}

describe('round trip', () => {
  it('restores a hostile tree exactly', async () => {
    const from = join(root, 'from');
    const { close } = await makeHostileTree(from);
    const before = describeTree(from);
    const { items, facts, content, source } = await backup([from]);
    await close();
    expect(inOrder(items)).toBe(true);
    expect(items[0]!.entry.path).toBe('');
    expect(source.warnings.filter(({ partial }) => partial)).toEqual([]);
    expect(describeTree(from).filter((line) => !line.includes('special-socket'))).toEqual(
      before.filter((line) => !line.includes('special-socket')),
    );
    expect(await filesEngine.inspect(content, inspectIn(root))).toEqual([]);

    const to = join(root, 'to');
    const request = restoreRequest({ toPath: to, privileged: true });
    const outcome = await filesEngine.restore(content, request);
    expect(outcome.target).toBe(to);
    expect(outcome.filesCount).toBe(facts.files_count);
    const expected = before.filter((line) => !line.includes('special-socket'));
    if (isRoot) expect(describeTree(to)).toEqual(expected);
    expect(fs.readdirSync(root).sort()).toEqual(['from', 'to']);
    expect(request.warnings.map(({ message }) => message)).toEqual([
      '1 sockets are left out: whoever listens on them makes them',
    ]);
  });

  it('reads the same again from what it restored', async () => {
    const from = join(root, 'from');
    const { close } = await makeHostileTree(from);
    await close();
    const first = await backup([from]);
    await filesEngine.restore(first.content, restoreRequest({ toPath: join(root, 'to'), privileged: true }));
    const second = await backup([join(root, 'to')]);
    const lines = (items: typeof first.items) =>
      items
        .filter(({ entry }) => entry.kind !== 'socket')
        .map(({ entry: { ctimeNs, ino, dev, ...entry } }) => ({ ...entry, mtimeNs: entry.mtimeNs / 1000n }));
    if (isRoot) expect(lines(second.items)).toEqual(lines(first.items));
  });

  it.runIf(isRoot)('leaves set-id bits and devices out without --privileged', async () => {
    const from = join(root, 'from');
    const { close } = await makeHostileTree(from);
    const { content } = await backup([from]);
    await close();
    const request = restoreRequest({ toPath: join(root, 'to') });
    await filesEngine.restore(content, request);
    expect(fs.statSync(join(root, 'to/modes/setuid')).mode & 0o7777).toBe(0o755);
    expect(fs.statSync(join(root, 'to/modes/sticky')).mode & 0o7777).toBe(0o1777);
    expect(fs.existsSync(join(root, 'to/special-char'))).toBe(false);
    expect(fs.lstatSync(join(root, 'to/special-fifo')).isFIFO()).toBe(true);
    expect(request.warnings.map(({ message }) => message).join('\n')).toMatch(/--privileged[\s\S]*2 devices/);
  });
});

describe('sources', () => {
  it('lays several sources under their absolute paths and restores each to its own', async () => {
    fs.mkdirSync(join(root, 'a/in'), { recursive: true });
    fs.writeFileSync(join(root, 'a/in/x'), 'x');
    fs.mkdirSync(join(root, 'b'));
    fs.writeFileSync(join(root, 'b/y'), 'y');
    fs.writeFileSync(join(root, 'single'), 'one file');
    const paths = [join(root, 'single'), join(root, 'b'), join(root, 'a')];
    const before = describeTree(root);
    const { items, content, dump } = await backup(paths);
    const prefix = root.slice(1);
    expect(items.map(({ entry }) => entry.path)).toEqual(
      ['a', 'a/in', 'a/in/x', 'b', 'b/y', 'single'].map((path) => `${prefix}/${path}`),
    );
    expect(dump.sources?.map(({ kind }) => kind)).toEqual(['directory', 'directory', 'file']);
    for (const path of paths) fs.rmSync(path, { recursive: true });
    await filesEngine.restore(content, restoreRequest());
    fs.lutimesSync(root, 1, 1);
    expect(describeTree(root).slice(1)).toEqual(before.slice(1));
    await filesEngine.restore(content, restoreRequest({ toPath: join(root, 'elsewhere') }));
    expect(fs.readFileSync(join(root, 'elsewhere', prefix, 'a/in/x'), 'utf8')).toBe('x');
    expect(fs.statSync(join(root, 'elsewhere')).mode & 0o777).toBe(0o755);
  });

  it('takes a single file under its own name', async () => {
    fs.writeFileSync(join(root, 'dump.sql'), 'data');
    const { items, content, dump } = await backup([join(root, 'dump.sql')]);
    expect(items.map(({ entry }) => entry.path)).toEqual(['dump.sql']);
    expect(dump.sources).toEqual([{ path: join(root, 'dump.sql'), entry: 'dump.sql', kind: 'file' }]);
    fs.rmSync(join(root, 'dump.sql'));
    await filesEngine.restore(content, restoreRequest());
    expect(fs.readFileSync(join(root, 'dump.sql'), 'utf8')).toBe('data');
    await filesEngine.restore(content, restoreRequest({ toPath: join(root, 'new/folder') }));
    expect(fs.readFileSync(join(root, 'new/folder/dump.sql'), 'utf8')).toBe('data');
  });

  it('resolves a link with a notice, and restores to where it leads', async () => {
    fs.mkdirSync(join(root, 'real'));
    fs.writeFileSync(join(root, 'real/x'), '1');
    fs.symlinkSync('real', join(root, 'link'));
    const { source, dump, content } = await backup([join(root, 'link')]);
    expect(dump.sources?.[0]?.path).toBe(join(root, 'real'));
    expect(dump.identity).toBe(`testhost:${join(root, 'real')}`);
    expect(source.warnings).toEqual([
      { message: expect.stringContaining('links lead'), subject: join(root, 'link'), partial: false },
    ]);
    fs.writeFileSync(join(root, 'real/x'), '2');
    const outcome = await filesEngine.restore(content, restoreRequest({ source, overwrite: true }));
    expect(outcome.target).toBe(join(root, 'real'));
    expect(fs.readFileSync(join(root, 'link/x'), 'utf8')).toBe('1');
  });

  it.each([
    ['a missing source', 'missing', 'source_failed'],
    ['a dangling link', 'dangling', 'source_failed'],
    ['an empty folder (an unmounted disk)', 'empty', 'source_empty'],
    ['a fifo', 'fifo', 'source_failed'],
  ])('refuses %s before anything is written', async (_, name, code) => {
    fs.symlinkSync('nowhere', join(root, 'dangling'));
    fs.mkdirSync(join(root, 'empty'));
    const { execFileSync } = await import('node:child_process');
    execFileSync('mkfifo', [join(root, 'fifo')]);
    const source = filesSource({ source_path: [join(root, name)] });
    await expect(filesEngine.dump(source, wholeRequest)).rejects.toMatchObject({ code });
    expect((await filesEngine.probe(source)).status).toBe('error');
  });

  it('refuses sources inside each other and named twice', async () => {
    fs.mkdirSync(join(root, 'a/b'), { recursive: true });
    fs.writeFileSync(join(root, 'a/b/x'), '');
    fs.symlinkSync('a', join(root, 'alias'));
    for (const paths of [
      ['a', 'a/b'],
      ['a', 'a'],
      ['a', 'alias'],
      ['alias/b', 'a'],
    ]) {
      const source = filesSource({ source_path: paths.map((path) => join(root, path)) });
      await expect(filesEngine.dump(source, wholeRequest)).rejects.toMatchObject({ code: 'config_invalid' });
    }
  });

  it('backs up a source whose own name is not UTF-8, by way of a link', async () => {
    fs.mkdirSync(bytePath(root, 'odd-\xff'));
    fs.writeFileSync(bytePath(root, 'odd-\xff/x'), 'odd');
    fs.symlinkSync(Buffer.from('odd-\xff', 'latin1'), join(root, 'link'));
    const { content, dump } = await backup([join(root, 'link')]);
    expect(dump.sources?.[0]?.path).toBe(`${root}/odd-\xff`);
    fs.rmSync(bytePath(root, 'odd-\xff/x'));
    fs.rmdirSync(bytePath(root, 'odd-\xff'));
    await filesEngine.restore(content, restoreRequest());
    expect(fs.readFileSync(bytePath(root, 'odd-\xff/x'), 'utf8')).toBe('odd');
  });
});

describe('many and deep', () => {
  it('walks a folder of 5,000 names in batches, and folders nested 400 deep', async () => {
    fs.mkdirSync(join(root, 'many'));
    for (let at = 0; at < 5_000; at += 1) fs.writeFileSync(join(root, `many/${at}`), '');
    let deep = join(root, 'deep');
    for (let at = 0; at < 400; at += 1) deep = join(deep, 'd');
    fs.mkdirSync(deep, { recursive: true });
    const { items, content } = await backup([root]);
    expect(items.length).toBe(5_000 + 400 + 3);
    expect(inOrder(items)).toBe(true);
    const to = tempFolder();
    await filesEngine.restore(content, restoreRequest({ toPath: to }));
    expect(describeTree(to).length).toBe(items.length);
    removeFolder(to);
  });

  it('counts a path that is too long for the system as a partial warning', async () => {
    const start = process.cwd();
    fs.mkdirSync(join(root, 'from'));
    fs.writeFileSync(join(root, 'from/ok'), 'ok');
    process.chdir(join(root, 'from'));
    try {
      for (let at = 0; at < 21; at += 1) {
        fs.mkdirSync('p'.repeat(200));
        process.chdir('p'.repeat(200));
      }
    } finally {
      process.chdir(start);
    }
    const { source, items } = await backup([join(root, 'from')]);
    expect(source.warnings).toEqual([
      {
        message: expect.stringContaining('longer than the system'),
        subject: expect.any(String),
        partial: true,
      },
    ]);
    expect(items.at(-1)!.entry.path.length).toBeGreaterThan(3500);
    expect(items.map(({ entry }) => entry.path)).toContain('ok');
    const { execFileSync } = await import('node:child_process');
    execFileSync('rm', ['-rf', join(root, 'from')]);
  });
});

describe('an interrupted dump', () => {
  it('stops at the signal and closes what it had open', async () => {
    fs.writeFileSync(join(root, 'big'), Buffer.alloc(3 * 1024 * 1024));
    fs.writeFileSync(join(root, 'next'), 'x');
    const controller = new AbortController();
    const source = filesSource({ source_path: [root] }, { signal: controller.signal });
    const dump = await filesEngine.dump(source, wholeRequest);
    const openBefore = fs.readdirSync('/proc/self/fd').length;
    const read = async () => {
      for await (const member of dump.members()) {
        if (member.kind !== 'tree') continue;
        for await (const _ of member.entries()) controller.abort();
      }
    };
    await expect(read()).rejects.toMatchObject({ code: 'interrupted' });
    await dump.close();
    expect(fs.readdirSync('/proc/self/fd').length).toBe(openBefore);
  });
});

describe('unsure', () => {
  it('marks what was modified within two seconds of its reading or lies ahead of the clock', async () => {
    fs.writeFileSync(join(root, 'new'), 'x');
    fs.writeFileSync(join(root, 'ahead'), 'x');
    fs.utimesSync(join(root, 'ahead'), 4e9, 4e9);
    const marked = async (now: () => Date) => {
      const dump = await filesEngine.dump(filesSource({ source_path: [root] }, { now }), wholeRequest);
      return (await collect(dump)).filter(({ entry }) => entry.unsure).map(({ entry }) => entry.path);
    };
    expect(await marked(() => new Date())).toEqual(['ahead', 'new']);
    expect(await marked(settledNow)).toEqual(['ahead']);
  });
});
