// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { type LoadedConfig, loadConfig, validateConfig } from '../../src/config/load.ts';
import { keysAt } from '../../src/config/prepare.ts';
import type { ConfigProblem } from '../../src/config/problems.ts';
import { root } from '../../src/config/schema/root.ts';
import { showConfig } from '../../src/config/show.ts';
import type { Tree } from '../../src/config/tree.ts';
import { folderWith } from './fixture.ts';

type Entry = { readonly [key: string]: Tree };

const SERVER = { host: 'h', database: 'x' };
const BUCKET = { bucket: 'bkt', region: 'eu-west-1' };

/** A sound thing of every type. */
const SOUND: { readonly [section: string]: readonly Entry[] } = {
  datasources: [
    { type: 'postgres', ...SERVER },
    { type: 'mysql', ...SERVER },
    { type: 'mongodb', ...SERVER },
    { type: 'sqlserver', ...SERVER },
    { type: 'sqlite', file_path: 'a.db' },
    { type: 'files', source_path: 'a' },
  ],
  destinations: [
    { type: 'local', path: 'p' },
    { type: 's3', ...BUCKET },
    { type: 'minio', bucket: 'bkt', endpoint: 'http://h:9000' },
    { type: 'backblaze', bucket_name: 'bkt', application_key_id: 'i', application_key: 'long-one' },
    { type: 'sftp', host: 'h', username: 'u', remote_path: '/r' },
    { type: 'rclone', remote: 'r:' },
  ],
  notifications: [
    { type: 'webhook', url: 'http://h' },
    { type: 'smtp', host: 'h', from: 'a@b', to: 'c@d' },
    { type: 'ping', url: 'http://h' },
  ],
  jobs: [{ datasources: ['d'], destinations: ['l'] }],
};

/** What people, templates and slips write where another thing is meant. */
const ODD: readonly Tree[] = [
  null,
  '',
  ' ',
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  '-1',
  '1e9',
  '99999999999999999999d',
  'NaN',
  '\u0000',
  'a\nb',
  '\u202e𝒳 ñ',
  '__proto__',
  'constructor',
  '../../..',
  '/',
  '~',
  '$',
  '${',
  '${UNSET}',
  '${LINES}',
  'x'.repeat(5000),
  [],
  [null],
  [''],
  [[]],
  [{}],
  ['x', 'x'],
  [1, true],
  {},
  { a: 1 },
  { type: 'x' },
];

/** Words of the validator's or of JavaScript's own, which tell nobody what to do. */
const BARE =
  /invalid input|ERR_|invalid_|undefined|\[object|\bNaN is|TypeError|internal|expected .* received/i;

/** What such a key says depends on files and programs, which are looked at where nothing else is wrong. */
const hasSecretElsewhere = (entry: Entry) => /"\w+_(file|command)":/.test(JSON.stringify(entry));

interface Case {
  readonly section: string;
  readonly name: string;
  readonly entry: Entry;
}

/** One thing of each type for each of its keys, one level below it too, with that value there. */
function casesOf(value: Tree): Case[] {
  const cases: Case[] = [];
  for (const [section, entries] of Object.entries(SOUND)) {
    for (const entry of entries) {
      const add = (changed: Entry) =>
        cases.push({ section, name: `x${cases.length}`, entry: { ...entry, ...changed } });
      const keys = (at: string[], tree: Entry) =>
        keysAt(root, { [section]: { x: tree } } as unknown as Tree, [section, 'x', ...at]);
      for (const key of keys([], entry)) {
        add({ [key]: value });
        for (const below of keys([key], { ...entry, [key]: {} })) add({ [key]: { [below]: value } });
      }
      add({ 'no such key': value });
    }
  }
  return cases;
}

function documentOf(cases: readonly Case[], defaults: Entry = {}): string {
  const document: Record<string, Record<string, Tree>> = {
    datasources: { d: { type: 'sqlite', file_path: 'a.db' } },
    destinations: { l: { type: 'local', path: 'out' } },
    jobs: {},
    notifications: {},
  };
  for (const { section, name, entry } of cases) document[section]![name] = entry as Tree;
  return JSON.stringify({ version: 1, defaults, ...document });
}

const OPTIONS = { env: { LINES: 'a\nb: c\n' }, cwd: '/', uid: 1000 };

function expectClear({ position, path: at, message, hint }: ConfigProblem, file: string): void {
  const said = `${at}: ${message} ${hint ?? ''}`;
  expect(position, said).toMatchObject({ file, line: 1 });
  expect(at, said).not.toBe('');
  expect(message.length, said).toBeGreaterThan(5);
  expect(said).not.toMatch(BARE);
}

it.each(ODD.map((value) => [JSON.stringify(value).slice(0, 40), value] as const))(
  'any key with %s is accepted as it stands, or refused with its place and why',
  async (_, value) => {
    const file = path.join(await folderWith({ 'backup.yaml': '' }), 'backup.yaml');
    const cases = casesOf(value);
    expect(cases.length).toBeGreaterThan(250);
    await writeFile(file, documentOf(cases));
    const { problems } = await validateConfig(file, OPTIONS);
    for (const problem of problems) expectClear(problem, file);
    const blamed = new Set(problems.map((problem) => problem.path.split('.').slice(0, 2).join('.')));
    const sound = cases.filter(
      ({ section, name, entry }) => !blamed.has(`${section}.${name}`) && !hasSecretElsewhere(entry),
    );
    // What nobody complains of is a configuration that can be used and shown.
    await writeFile(file, documentOf(sound));
    const loaded: LoadedConfig = await loadConfig(file, OPTIONS);
    expect(JSON.stringify(showConfig(loaded.config))).toBeTypeOf('string');
  },
);
