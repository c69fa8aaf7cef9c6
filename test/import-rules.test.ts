import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SRC = fileURLToPath(new URL('../src', import.meta.url));

/** Lower rooms first; a file may import from its own room and from rooms below. */
const ROOMS = [
  '',
  'child',
  'plan',
  'config',
  'manifest',
  'archive',
  'storages',
  'engines',
  'notify',
  'core',
  'cli',
];

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : entry.name.endsWith('.ts') ? [path] : [];
  });
}

function imports(): Import[] {
  return sources(SRC).flatMap((file) => {
    const text = readFileSync(file, 'utf8');
    const statements = [...text.matchAll(/^\s*(import|export)\s+(type\s)?[^;]*?from '([^']+)'/gm)];
    const dynamic = [...text.matchAll(/import\('([^']+)'\)/g)];
    return [
      ...statements.map((m) => ({ from: relative(SRC, file), to: m[3]!, typeOnly: m[2] !== undefined })),
      ...dynamic.map((m) => ({ from: relative(SRC, file), to: m[1]!, typeOnly: false })),
    ].map((found) => ({
      ...found,
      to: found.to.startsWith('.') ? relative(SRC, resolve(dirname(file), found.to)) : found.to,
    }));
  });
}

/** A file without its comments. */
const code = (file: string) => readFileSync(file, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
const room = (path: string) => (path.includes('/') ? path.slice(0, path.indexOf('/')) : '');
const inside = (path: string) => path.endsWith('.ts');

it('imports go down only: nobody imports the command line, core sees no adapter', () => {
  const wrong = imports().filter(({ from, to, typeOnly }) => {
    if (!inside(to) || typeOnly || room(from) === room(to)) return false;
    if (room(from) === 'archive' && room(to) === 'storages') return false; // readRange and readObject
    return ROOMS.indexOf(room(to)) > ROOMS.indexOf(room(from));
  });
  expect(wrong).toEqual([]);
});

/** Rooms of what several engines have in common: each of them may use it, it knows none of them. */
const COMMON = ['jsonl', 'plain', 'undo'];

it('adapters never import each other, and what they share imports none of them', () => {
  const adapter = (path: string) => path.split('/')[1]!;
  const wrong = imports().filter(
    ({ from, to }) =>
      /^engines\/[a-z]+\//.test(from) &&
      /^engines\/[a-z]+\//.test(to) &&
      adapter(from) !== adapter(to) &&
      !COMMON.includes(adapter(to)),
  );
  expect(wrong).toEqual([]);
});

it('what belongs to the command line stays there', () => {
  const wrong = sources(SRC)
    .filter((file) => room(relative(SRC, file)) !== 'cli')
    .filter((file) =>
      /\bprocess\.(env|argv|exit|stdout|stderr)\b|\bconsole\.|\bDate\.now\(|\bnew Date\(\)/.test(code(file)),
    );
  expect(wrong.map((file) => relative(SRC, file))).toEqual([]);
});

it('commander, inquirer, ora and cli-table3 are used in cli only, execa in one file', () => {
  const faces = imports().filter(
    ({ from, to }) => /^(commander|ora|cli-table3|@inquirer\/)/.test(to) && room(from) !== 'cli',
  );
  const execa = imports().filter(({ from, to }) => to === 'execa' && from !== 'child/start.ts');
  expect([...faces, ...execa]).toEqual([]);
});
