import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { filesEngine } from '../../../src/engines/files/engine.ts';
import type { FilesOptions } from '../../../src/engines/files/options.ts';
import type { DumpRequest } from '../../../src/engines/types.ts';
import { bytePath, filesSource, removeFolder, restoreRequest, tempFolder, wholeRequest } from './support.ts';
import { collect, memoryContent } from './support-items.ts';

let root: string;
beforeEach(() => {
  root = join(tempFolder(), 'src');
  fs.mkdirSync(root);
});
afterEach(() => removeFolder(join(root, '..')));

function write(...names: string[]): void {
  for (const name of names) {
    fs.mkdirSync(join(root, name, '..'), { recursive: true });
    fs.writeFileSync(join(root, name), name);
  }
}

async function paths(options: Partial<FilesOptions>, request: Partial<DumpRequest> = {}) {
  const source = filesSource({ source_path: [root], ...options });
  const dump = await filesEngine.dump(source, { ...wholeRequest, ...request });
  const items = await collect(dump);
  await dump.close();
  return { paths: items.map(({ entry }) => entry.path), warnings: source.warnings, items, dump };
}

describe('patterns', () => {
  const cases: [string, { include?: string[]; exclude?: string[] }, string[]][] = [
    [
      'a name matches at any depth',
      { exclude: ['*.log'] },
      ['a.txt', 'sub/b.txt', 'sub/temp/c.txt', 'temp/d.txt', 'sub/.hidden.txt'],
    ],
    [
      'a name of a folder is not descended into',
      { exclude: ['temp'] },
      ['a.log', 'a.txt', 'sub/b.txt', 'sub/x.log', 'sub/.hidden.txt'],
    ],
    [
      'a path is anchored at the source',
      { exclude: ['temp/**'] },
      ['a.log', 'a.txt', 'sub/b.txt', 'sub/temp/c.txt', 'sub/x.log', 'sub/.hidden.txt'],
    ],
    [
      'a leading slash anchors a name',
      { exclude: ['/temp', '/x.log'] },
      ['a.log', 'a.txt', 'sub/b.txt', 'sub/temp/c.txt', 'sub/x.log', 'sub/.hidden.txt'],
    ],
    [
      'a trailing slash means folders alone',
      { exclude: ['a.txt/', 'temp/'] },
      ['a.log', 'a.txt', 'sub/b.txt', 'sub/x.log', 'sub/.hidden.txt'],
    ],
    [
      '** crosses folders and hidden names',
      { include: ['**/*.txt'] },
      ['a.txt', 'sub/b.txt', 'sub/temp/c.txt', 'temp/d.txt', 'sub/.hidden.txt'],
    ],
    ['an included folder comes with its content', { include: ['sub/temp'] }, ['sub/temp/c.txt']],
    [
      'exclude wins over include',
      { include: ['sub/**'], exclude: ['*.log', 'sub/temp'] },
      ['sub/b.txt', 'sub/.hidden.txt'],
    ],
    [
      'an exclamation mark is a character',
      { exclude: ['!a.txt'] },
      ['a.log', 'a.txt', 'sub/b.txt', 'sub/temp/c.txt', 'sub/x.log', 'temp/d.txt', 'sub/.hidden.txt'],
    ],
  ];
  it.each(cases)('%s', async (_, { include = [], exclude = [] }, expected) => {
    write('a.txt', 'a.log', 'sub/b.txt', 'sub/.hidden.txt', 'sub/x.log', 'sub/temp/c.txt', 'temp/d.txt');
    const { items, dump } = await paths({ include_patterns: include, exclude_patterns: exclude });
    const files = items.filter(({ entry }) => entry.kind === 'file').map(({ entry }) => entry.path);
    expect(files.sort()).toEqual([...expected].sort());
    expect(dump.patterns).toEqual({ include, exclude });
  });

  it('keeps the folders above what is included, and no others', async () => {
    write('a/b/c/wanted.jpg', 'a/x/other.txt', 'z/other.txt');
    expect((await paths({ include_patterns: ['*.jpg'] })).paths).toEqual([
      '',
      'a',
      'a/b',
      'a/b/c',
      'a/b/c/wanted.jpg',
    ]);
  });

  it('narrows its own patterns by those of the request, named from the source or absolutely', async () => {
    write('a/1.jpg', 'a/2.txt', 'b/3.jpg');
    const options = { include_patterns: ['*.jpg'] };
    expect((await paths(options, { include: ['a/**'] })).paths).toEqual(['', 'a', 'a/1.jpg']);
    expect((await paths(options, { include: [join(root, 'b')] })).paths).toEqual(['', 'b', 'b/3.jpg']);
    expect((await paths(options, { exclude: ['a'] })).paths).toEqual(['', 'b', 'b/3.jpg']);
  });

  it('matches accented names, names that are not UTF-8, and names with a newline', async () => {
    write('é.txt', 'new\nline.txt', 'other');
    fs.writeFileSync(bytePath(root, '\xff.txt'), '');
    expect((await paths({ exclude_patterns: ['*.txt'] })).paths).toEqual(['', 'other']);
    expect((await paths({ include_patterns: ['é.txt'] })).paths).toEqual(['', 'Ã©.txt']);
    expect((await paths({ exclude_patterns: ['**/n*e.txt', 'é*', 'other'] })).paths).toEqual([
      '',
      '\xff.txt',
    ]);
  });

  it('anchors patterns at each of several sources', async () => {
    write('one/temp/x', 'one/keep', 'two/temp/x', 'two/sub/temp/y');
    const { items } = await paths({
      source_path: [join(root, 'one'), join(root, 'two')],
      exclude_patterns: ['temp/**'],
    });
    const prefix = root.slice(1);
    const files = items.filter(({ entry }) => entry.kind === 'file').map(({ entry }) => entry.path);
    expect(files).toEqual([`${prefix}/one/keep`, `${prefix}/two/sub/temp/y`]);
  });
});

describe('folders that say that they are not wanted', () => {
  it('keeps of a cache folder itself and its tag', async () => {
    write('cache/data', 'cache/sub/data', 'fake/data');
    fs.writeFileSync(join(root, 'cache/CACHEDIR.TAG'), 'Signature: 8a477f597d28d172789f06886806bc55\n# x');
    fs.writeFileSync(join(root, 'fake/CACHEDIR.TAG'), 'something else');
    const all = await paths({});
    expect(all.paths).toEqual(['', 'cache', 'cache/CACHEDIR.TAG', 'fake', 'fake/CACHEDIR.TAG', 'fake/data']);
    expect(all.warnings).toEqual([
      { message: expect.stringContaining('CACHEDIR.TAG'), subject: join(root, 'cache'), partial: false },
    ]);
    expect((await paths({ exclude_caches: false })).paths).toContain('cache/sub/data');
  });

  it('does the same for exclude_if_present', async () => {
    write('a/.nobackup', 'a/data', 'b/data');
    expect((await paths({ exclude_if_present: ['.nobackup'] })).paths).toEqual([
      '',
      'a',
      'a/.nobackup',
      'b',
      'b/data',
    ]);
  });
});

describe("dguard's own", () => {
  it('leaves its destinations out with a notice, also through a link', async () => {
    write('data', 'backups/x', 'temp/y');
    fs.symlinkSync(join(root, 'temp'), join(root, '../alias'));
    const { paths: found, warnings } = await paths(
      {},
      { ownPaths: [join(root, 'backups'), join(root, '../alias')] },
    );
    expect(found).toEqual(['', 'data']);
    expect(warnings.map(({ subject, partial }) => [subject, partial])).toEqual([
      [join(root, 'backups'), false],
      [join(root, 'temp'), false],
    ]);
  });

  it('refuses a source that is a destination, and reads one that lies in temp_dir', async () => {
    write('data');
    await expect(paths({}, { ownPaths: [`${root}/`] })).rejects.toMatchObject({ code: 'source_failed' });
    expect((await paths({}, { ownPaths: [join(root, '..')] })).paths).toEqual(['', 'data']);
  });

  it('leaves marked undo copies out, and only those', async () => {
    write('app/x');
    const first = await paths({ source_path: [join(root, 'app')] });
    const content = memoryContent(first.items, first.dump.sources ?? []);
    const { undo } = await filesEngine.restore(content, restoreRequest({ overwrite: true }));
    expect(undo).toBe(join(root, '.app.dguard-undo-full-2026-01-02T03-04-05Z-abcd2345'));
    write('.fake.dguard-undo-x/y');
    const { paths: found, warnings } = await paths({});
    expect(found).toEqual(['', '.fake.dguard-undo-x', '.fake.dguard-undo-x/y', 'app', 'app/x']);
    expect(warnings).toEqual([{ message: expect.stringContaining('undo'), subject: undo, partial: false }]);
  });
});

describe('one_file_system', () => {
  it.runIf(fs.existsSync('/dev/shm') && fs.statSync('/dev/shm').dev !== fs.statSync('/dev').dev)(
    'keeps a mount point as an empty folder',
    async () => {
      const marker = fs.mkdtempSync('/dev/shm/dguard-');
      try {
        const { paths: found } = await paths({
          source_path: ['/dev'],
          one_file_system: true,
          include_patterns: ['shm/**'],
        });
        expect(found).toEqual(['', 'shm']);
      } finally {
        fs.rmdirSync(marker);
      }
    },
  );
});

describe('patterns that leave nothing', () => {
  it('are an error when the walk ends, before anything can be published', async () => {
    const folder = tempFolder();
    fs.writeFileSync(join(folder, 'a.txt'), 'a');
    fs.mkdirSync(join(folder, 'empty'));
    const dump = await filesEngine.dump(
      filesSource({ source_path: [folder], include_patterns: ['*.nothing'] }),
      wholeRequest,
    );
    await collect(dump);
    await expect(dump.facts()).rejects.toMatchObject({
      code: 'source_empty',
      message: expect.stringMatching(/not one file/),
    });
    await dump.close();
    removeFolder(folder);
  });
});
