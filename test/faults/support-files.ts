import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { filesEngine } from '../../src/engines/files/engine.ts';
import type { FilesOptions } from '../../src/engines/files/options.ts';
import type { BackupContent, RestoreRequest } from '../../src/engines/types.ts';
import {
  describeTree,
  filesSource,
  removeFolder,
  restoreRequest,
  tempFolder,
} from '../engines/files/support.ts';
import { file as fileItem, folder, type MemoryItem, memoryContent } from '../engines/files/support-items.ts';
import type { FaultMode } from './fs-faults.mjs';

/** A new folder for each test of the file that imports this. */
export let root: string;
beforeEach(() => {
  // In memory: a disk that others write to makes every sync a wait.
  root = fs.existsSync('/dev/shm') ? fs.mkdtempSync('/dev/shm/dguard-faults-') : tempFolder();
});
afterEach(() => removeFolder(root));

export const file = (path: string, text = `new ${path}`) => fileItem(path, text);

export const MODES: FaultMode[] = ['die', 'eio', 'enospc'];

/** What is there for everybody: everything but dguard's own folders. */
export function visible(path: string): string[] {
  return describeTree(path)
    .slice(1)
    .filter((line) => !line.includes('.dguard-undo-'))
    .map((line) => line.replace(/"mtimeUs":"1(?:7[5-9]|8)\d+"/, '"mtimeUs":"now"'));
}

export function marked(path: string): string[] {
  return fs.readdirSync(path).filter((name) => name.includes('.dguard-'));
}

export interface Scene {
  /** Fills an empty folder with what is there before. */
  make(at: string): void;
  content(at: string): BackupContent;
  request(at: string): Partial<RestoreRequest<FilesOptions>>;
  /** Folders that may hold marked ones. */
  places(at: string): string[];
}

export const write = (path: string, text: string) => {
  fs.mkdirSync(join(path, '..'), { recursive: true });
  fs.writeFileSync(path, text);
};

/** Old times, so that a folder that is touched and not given its time back shows. */
function settle(path: string): void {
  for (const name of fs.readdirSync(path)) {
    const child = join(path, name);
    if (fs.lstatSync(child).isDirectory()) settle(child);
    fs.lutimesSync(child, 1_600_000_000, 1_600_000_000);
  }
}

export const appItems = () => [
  folder('', { mode: 0o750 }),
  folder('both', { mode: 0o711 }),
  file('both/added'),
  file('both/replaced'),
  folder('file-now-folder'),
  file('file-now-folder/in'),
  file('folder-now-file'),
  folder('new'),
  file('new/in'),
  // Written beside the thread.
  file('new/large', 'large '.repeat(180_000)),
];

export const makeApp = (at: string) => {
  write(join(at, 'app/both/replaced'), 'old');
  write(join(at, 'app/both/stays'), 'old');
  write(join(at, 'app/folder-now-file/in'), 'old');
  write(join(at, 'app/file-now-folder'), 'old');
  write(join(at, 'app/extra/deep/in'), 'old');
  write(join(at, 'app/extra/keep.log'), 'old');
  settle(at);
};

export const oneSource = (at: string, items: MemoryItem[]) =>
  memoryContent(items, [{ path: join(at, 'app'), entry: '', kind: 'directory' }]);

export const SCENES: Record<string, Scene> = {
  'a swap': {
    make: makeApp,
    content: (at) => oneSource(at, appItems()),
    request: (at) => ({ source: filesSource({ source_path: [join(at, 'app')] }), overwrite: true }),
    places: (at) => [at],
  },
  'a swap of two folders and a file as one': {
    make(at) {
      for (const name of ['a', 'b']) write(join(at, name, 'old'), 'old');
      write(join(at, 'c'), 'old');
      settle(at);
    },
    content: (at) =>
      memoryContent(
        [folder('a'), file('a/x'), folder('b'), file('b/x'), file('c')],
        [
          { path: join(at, 'a'), entry: 'a', kind: 'directory' },
          { path: join(at, 'b'), entry: 'b', kind: 'directory' },
          { path: join(at, 'c'), entry: 'c', kind: 'file' },
        ],
      ),
    request: (at) => ({
      source: filesSource({ source_path: ['a', 'b', 'c'].map((name) => join(at, name)) }),
      overwrite: true,
    }),
    places: (at) => [at],
  },
  'a restore to where nothing is': {
    make: (at) => settle(at),
    content: (at) => oneSource(at, appItems()),
    request: (at) => ({ source: filesSource({ source_path: [join(at, 'app')] }) }),
    places: (at) => [at],
  },
  'a merge': {
    make: makeApp,
    content: (at) => oneSource(at, appItems()),
    request: (at) => ({
      source: filesSource({ source_path: [join(at, 'app')], exclude_patterns: ['*.log'] }),
      overwrite: true,
    }),
    places: (at) => [at],
  },
  'a merge that deletes what the backup does not hold': {
    make: makeApp,
    content: (at) => oneSource(at, appItems()),
    request: (at) => ({
      source: filesSource({ source_path: [join(at, 'app')], exclude_patterns: ['*.log'] }),
      overwrite: true,
      deleteExtra: true,
    }),
    places: (at) => [at],
  },
};

/** A scene, made in as many folders as are asked for. */
export function staged(scene: Scene) {
  let count = 0;
  const target = (at: string) => restoreRequest(scene.request(at));
  return {
    fresh() {
      count += 1;
      const at = join(root, String(count));
      fs.mkdirSync(at);
      scene.make(at);
      return at;
    },
    target,
    restore: (at: string) => filesEngine.restore(scene.content(at), target(at)),
  };
}
