// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { symlink } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { validateConfig } from '../../src/config/load.ts';
import { folderWith, load, problemsOf } from './fixture.ts';

const EMPTY = 'version: 1\n';

describe('include', () => {
  const section = (name: string) => `destinations: {${name}: {type: local, path: p}}\n`;

  it('merges sections by name, through folders and globs, in order', async () => {
    const { config, files, folder } = await load(
      `${EMPTY}include: [conf.d/*.yaml, "none/*.yaml"]\n${section('main')}defaults: {host: a}\n`,
      {
        files: {
          'conf.d/b.yaml': section('b'),
          'conf.d/a.yaml': `include: ../more/x.yaml\n${section('a')}`,
          'conf.d/.hidden.yaml': section('hidden'),
          'conf.d/c.yml': section('c'),
          'more/x.yaml': `version: 1\n${section('x')}defaults: {namespace: n}\n`,
        },
      },
    );
    expect(Object.keys(config.destinations)).toEqual(['main', 'a', 'x', 'b']);
    expect(config.defaults).toMatchObject({ host: 'a', namespace: 'n' });
    expect(files.map((file) => file.replace(folder, '.'))).toEqual([
      './backup.yaml',
      './conf.d/a.yaml',
      './more/x.yaml',
      './conf.d/b.yaml',
    ]);
  });

  it.each([
    [{ 'i.yaml': section('main') }, 'destinations.main: is defined twice, first in ./backup.yaml:3'],
    [{ 'i.yaml': 'include: backup.yaml\n' }, 'include: ./backup.yaml includes itself'],
    [{ 'i.yaml': 'include: i.yaml\n' }, 'include: ./i.yaml includes itself'],
    [
      { 'i.yaml': 'include: [j.yaml, j.yaml]\n', 'j.yaml': section('j') },
      'include: ./j.yaml is included twice',
    ],
    [{ 'i.yaml': 'include: j.yaml\n' }, 'include: ./j.yaml does not exist'],
    [{ 'i.yaml': 'include: {a: b}\n' }, 'include[0]: must be a path or a list of paths'],
    [{ 'i.yaml': 'version: 2\n' }, 'version: must be 1'],
    [{ 'i.yaml': 'destinations: [a]\n' }, 'destinations: cannot be merged with what another file says here'],
    [{ 'i.yaml': 'include: []\njobs: {p: {}}\n' }, 'jobs.p.datasources: is required'],
  ])('%j is a problem', async (files, expected) => {
    const problems = await problemsOf(`${EMPTY}include: i.yaml\n${section('main')}`, { files });
    expect(problems[0]?.replace(/^\d+:\d+ /, '')).toBe(expected);
  });

  it('a cycle through a link is a cycle', async () => {
    const folder = await folderWith({ 'backup.yaml': `${EMPTY}include: link.yaml\n` });
    await symlink('backup.yaml', `${folder}/link.yaml`);
    const { problems } = await validateConfig(undefined, { env: {}, cwd: folder });
    expect(problems.map((problem) => problem.message.replace(folder, '.'))).toEqual([
      './link.yaml includes itself',
    ]);
  });

  it('a problem names the file that holds it', async () => {
    const folder = await folderWith({
      'backup.yaml': `${EMPTY}include: i.yaml\n`,
      'i.yaml': '\n\ndestinations: {x: {type: local}}\n',
    });
    const { problems } = await validateConfig(undefined, { env: {}, cwd: folder });
    expect(problems[0]?.position).toEqual({ file: `${folder}/i.yaml`, line: 3, column: 16 });
  });
});

it('what is no text in UTF-8 is refused with its line, and not read as some other text', async () => {
  const latin = Buffer.from('datasources:\n  x: { type: files, source_path: /srv/r\xe9sum\xe9 }\n', 'latin1');
  const included = await problemsOf(`${EMPTY}include: latin.yaml\n`, { files: { 'latin.yaml': latin } });
  expect(included).toEqual(['2:1 include: ./latin.yaml is no text in UTF-8 (line 2): save it as UTF-8']);
  const wide = Buffer.from('\ufeffversion: 1\n', 'utf16le');
  const folder = await folderWith({ 'backup.yaml': wide });
  const { problems } = await validateConfig(`${folder}/backup.yaml`, { env: {}, cwd: folder });
  expect(problems.map(({ message }) => message)).toEqual(['is no text in UTF-8 (line 1): save it as UTF-8']);
});
