import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OpenedFile } from '../../../src/engines/files/dump/open-file.ts';
import { createRunMaker, itemsOf, type OpenedRun } from '../../../src/engines/files/dump/opened-runs.ts';
import { createTakeFile, walk, walkOpening } from '../../../src/engines/files/dump/walk.ts';
import { loadXattrs } from '../../../src/engines/files/system/xattrs.ts';
import type { Warning } from '../../../src/engines/types.ts';
import { compileModule } from '../../storages/compiled.ts';
import {
  makeHostileTree,
  noise,
  openFilesBelow,
  removeFolder,
  settledNow,
  tempFolder,
  walkRequest,
} from './support.ts';
import { flatItem } from './support-items.ts';

let root: string;
beforeEach(() => {
  root = tempFolder();
});
afterEach(() => removeFolder(root));

const xattrs = await loadXattrs();
const nowMs = () => settledNow().getTime();

/** The runs of opened files that the first stage makes of `root`. */
function* runsOf(limit: number): Generator<OpenedRun> {
  const maker = createRunMaker(limit);
  const warn = (warning: Warning) => maker.add({ warning });
  for (const item of walkOpening(walkRequest(root), { xattrs, warn })) {
    if ('fd' in item) maker.addFile(item);
    else maker.add({ entry: item.entry });
    if (maker.isFull) yield maker.take();
  }
  yield maker.take();
}

function reader() {
  const warnings: Warning[] = [];
  const warn = (warning: Warning) => void warnings.push(warning);
  const takeFile = createTakeFile({ nowMs, warn });
  return { warnings, items: (run: OpenedRun) => itemsOf(run, takeFile, warn) };
}

describe('files that are opened first and read later', () => {
  it('are what a walk gives that reads at once, hard links from run to run included', async () => {
    const { close } = await makeHostileTree(root);
    for (let i = 0; i < 40; i++) fs.writeFileSync(join(root, `linked-${i}`), `${i}`);
    for (let i = 0; i < 40; i++) fs.linkSync(join(root, `linked-${i}`), join(root, `name-${(i * 7) % 40}`));
    const expectedWarnings: Warning[] = [];
    const warn = (warning: Warning) => void expectedWarnings.push(warning);
    const expected = [...walk(walkRequest(root), { xattrs, nowMs, warn })].map(flatItem);
    for (const limit of [1, 5, 128]) {
      const { warnings, items } = reader();
      const found = [];
      for (const run of runsOf(limit)) for (const item of items(run)) found.push(flatItem(item));
      expect(found).toEqual(expected);
      expect(warnings).toEqual(expectedWarnings);
      expect(openFilesBelow(root)).toEqual([]);
    }
    await close();
    expect(expected.filter(({ entry }) => entry.kind === 'hardlink').length).toBeGreaterThanOrEqual(40);
  });

  it('tell what became of them in between', () => {
    const names = ['1-vanishes', '2-shrinks', '3-grows', '4-changes', '5-is-replaced', '6-stays'];
    for (const name of names) fs.writeFileSync(join(root, name), noise(5000, 1));
    const [run] = [...runsOf(128)] as [OpenedRun];
    const at = (name: string) => join(root, name);
    fs.rmSync(at('1-vanishes'));
    fs.truncateSync(at('2-shrinks'), 100);
    fs.appendFileSync(at('3-grows'), 'more');
    fs.writeFileSync(at('4-changes'), noise(5000, 2));
    fs.writeFileSync(at('new'), noise(5000, 3));
    fs.renameSync(at('new'), at('5-is-replaced'));
    const { warnings, items } = reader();
    const found = [...items(run)].filter(({ entry }) => entry.kind === 'file');
    expect(found.map(({ entry }) => [entry.path, entry.unsure === true])).toEqual(
      names.map((name) => [name, name !== '6-stays']),
    );
    expect(warnings.map(({ message, subject }) => [message, subject])).toEqual(
      names.slice(0, 5).map((name) => ['changed while it was read', at(name)]),
    );
    const whole = noise(5000, 1).toString('base64');
    const bytes = found.map((item) => flatItem(item).bytes);
    expect([bytes[0], bytes[2], bytes[4], bytes[5]]).toEqual([whole, whole, whole, whole]);
    expect(bytes[1]).toBe(noise(100, 1).toString('base64'));
    expect(bytes[3]).toBe(noise(5000, 2).toString('base64'));
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('that were empty and are written before they are read have changed, however much it is', () => {
    const sizes = [1, 1 << 20, (1 << 20) + 1];
    for (const size of sizes) fs.writeFileSync(join(root, `${size}`), '');
    const [run] = [...runsOf(128)] as [OpenedRun];
    for (const size of sizes) fs.writeFileSync(join(root, `${size}`), noise(size, 1));
    const { warnings, items } = reader();
    const read = [...items(run)].filter(({ entry }) => entry.kind === 'file');
    expect(read.map(({ entry }) => [entry.size, entry.unsure])).toEqual(
      ['1', '1048576', '1048577'].map((name) => [Math.min(Number(name), 1 << 20), true]),
    );
    expect(warnings).toMatchObject(
      sizes.map((size) => ({
        subject: join(root, `${size}`),
        partial: true,
        message: 'changed while it was read',
      })),
    );
  });

  it.runIf(process.platform === 'linux')(
    'that have no size before they are read (/proc) are read to their end',
    async () => {
      // A folder of the kernel's own: each says that it holds 0 bytes.
      const source = '/proc/sys/kernel/random';
      const warn = () => undefined;
      const items = [...walk(walkRequest(source), { xattrs, nowMs, warn })].map(flatItem);
      const size = items.find(({ entry }) => entry.path.endsWith('poolsize'))!;
      const text = fs.readFileSync(join(source, 'poolsize'));
      expect(text.length).toBeGreaterThan(0);
      expect([size.entry.size, size.bytes]).toEqual([text.length, text.toString('base64')]);
    },
  );

  it('are closed once each where reading ends early', () => {
    for (let i = 0; i < 20; i++) fs.writeFileSync(join(root, `file-${i}`), 'x');
    const [run] = [...runsOf(128)] as [OpenedRun];
    expect(openFilesBelow(root).length).toBe(20);
    const items = reader().items(run);
    for (let i = 0; i < 5; i++) items.next();
    items.return();
    expect(openFilesBelow(root)).toEqual([]);
  });

  it('that cannot be read are warned of, or an error where one is the source itself', () => {
    fs.writeFileSync(join(root, 'good'), 'good');
    for (const isSource of [false, true]) {
      const maker = createRunMaker(8);
      for (const item of walkOpening(walkRequest(root), { xattrs: undefined, warn: () => {} })) {
        if (!('fd' in item)) continue;
        // A folder can be opened, and not be read.
        const bad: OpenedFile = { ...item, fd: fs.openSync(root, 'r'), path: 'bad', entry: 'bad', isSource };
        maker.addFile(bad);
        maker.addFile(item);
      }
      const { warnings, items } = reader();
      if (isSource) {
        expect(() => [...items(maker.take())]).toThrow('EISDIR');
      } else {
        expect([...items(maker.take())].map(({ entry }) => entry.path)).toEqual(['good']);
        expect(warnings).toEqual([{ message: 'cannot be read: EISDIR', subject: 'bad', partial: true }]);
      }
      expect(openFilesBelow(root)).toEqual([]);
    }
  });
});

describe('where few files may be open', () => {
  let built: string;
  beforeAll(async () => {
    built = tempFolder();
    fs.symlinkSync(join(import.meta.dirname, '../../../node_modules'), join(built, 'node_modules'));
    for (const thread of ['open', 'read', 'walker']) {
      const module = `engines/files/dump/${thread}${thread === 'walker' ? '' : '-thread'}.ts`;
      await compileModule(module, built);
    }
  });
  afterAll(() => removeFolder(built));

  /** Runs a script as a process of its own that may open so many files; what it prints as JSON. */
  function limited(openFiles: number, lines: readonly string[]): unknown {
    const script = join(built, 'limited.mjs');
    const request = `{ ...${JSON.stringify({ ...walkRequest(root), ownPaths: undefined })}, ownPaths: new Set() }`;
    const preamble = [
      `const at = (name) => new URL(name, ${JSON.stringify(pathToFileURL(join(built, 'engines/files/dump/')))});`,
      `const request = ${request};`,
    ];
    fs.writeFileSync(script, [...preamble, ...lines].join('\n'));
    const command = `ulimit -n ${openFiles} && exec "$0" "$1"`;
    return JSON.parse(execFileSync('bash', ['-c', command, process.execPath, script], { encoding: 'utf8' }));
  }

  it('waits until some are closed', () => {
    for (let i = 0; i < 300; i++) fs.writeFileSync(join(root, `file-${i}`), 'x');
    for (let i = 0; i < 3; i++) fs.mkdirSync(join(root, `folder-${i}`));
    const found = limited(60, [
      `import { closeSync } from 'node:fs';`,
      `const { walkOpening } = await import(at('walk.js'));`,
      'let opened = [], files = 0, freed = 0; const warnings = [];',
      'const freeFiles = () => { freed++; for (const fd of opened) closeSync(fd); opened = []; };',
      'const context = { xattrs: undefined, freeFiles, warn: (warning) => warnings.push(warning) };',
      `for (const item of walkOpening(request, context)) if ('fd' in item) { files++; opened.push(item.fd); }`,
      'freeFiles();',
      'console.log(JSON.stringify({ files, warnings, often: freed > 5 }));',
    ]);
    expect(found).toEqual({ files: 300, warnings: [], often: true });
  });

  it('a backup of many files warns of none', () => {
    for (let i = 0; i < 1500; i++) fs.writeFileSync(join(root, `file-${i}`), 'x');
    const found = limited(96, [
      `const { walkInThreads } = await import(at('walker.js'));`,
      'let files = 0; const warnings = [];',
      `const threads = { open: at('open-thread.js'), read: at('read-thread.js') };`,
      'const { signal } = new AbortController();',
      'const context = { nowMs: () => Date.now(), warn: (warning) => warnings.push(warning), signal };',
      'for await (const batch of walkInThreads(request, threads, context))',
      `  for (const { entry } of batch) if (entry.kind === 'file') files++;`,
      'console.log(JSON.stringify({ files, warnings }));',
    ]);
    expect(found).toEqual({ files: 1500, warnings: [] });
  });
});
