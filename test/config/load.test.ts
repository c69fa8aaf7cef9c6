// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested

import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { configProblems, formatProblem, usableNotifications } from '../../src/config/problems.ts';
import type { PostgresConfig } from '../../src/config/types/datasources.ts';
import { folderWith, load, problemsOf, yamlWith } from './fixture.ts';

const EMPTY = 'version: 1\n';
const pg = (extra: string) => yamlWith({ datasource: `type: postgres, host: h, database: x, ${extra}` });
const password = async (extra: string, given: Parameters<typeof load>[1] = {}) => {
  const { config } = await load(pg(extra), given);
  return (config.datasources['d'] as PostgresConfig).password?.reveal();
};

describe('YAML', () => {
  it.each([
    ['a: 1\na: 2\n', '2:1 : this key stands here twice'],
    ['jobs:\n  p: {}\n  p: {}\n', '3:3 : this key stands here twice'],
    ['version: 1\n? [a, b]\n: x\n', '2:3 : a key must be plain text'],
    [
      'version: 1\njobs: {a: &a {b: c}, d: {<<: *a}}\n',
      '2:26 : merge keys (<<) are not read: write the keys out, or give a whole mapping an anchor',
    ],
    ['version: 1\njobs: &a {x: *a}\n', '2:11 : an alias holds itself'],
  ])('refuses %j', async (yaml, expected) => expect(await problemsOf(yaml)).toEqual([expected]));

  it.each([
    'a: [\n',
    'a: "x\n',
    'a: @x\n',
    '%x\n---\n',
    '\tb: 1\n',
    'a: !!js/function x\n',
    'version: 1\n---\nversion: 1\n',
  ])('refuses %j and says where', async (yaml) => {
    const problems = await problemsOf(yaml);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join()).toMatch(/is no valid YAML/);
  });

  it('what is no file or too large is told', async () => {
    const at = '2:1 include: ';
    expect(await problemsOf('version: 1\ninclude: /dev/zero\n')).toEqual([
      `${at}/dev/zero is a device, not a file`,
    ]);
    const files = { large: '#'.repeat(5 * 1024 * 1024) };
    expect(await problemsOf('version: 1\ninclude: large\n', { files })).toEqual([
      `${at}./large is far too large for what it should be`,
    ]);
  });

  it('a line about a problem holds nothing that a terminal obeys', async () => {
    const file = { file: '/a', line: 1, column: 1 };
    const path = 'jobs.x\u001b[31m\n';
    expect(formatProblem({ severity: 'invalid', position: file, path, message: 'no' })).toBe(
      '/a:1:1: jobs.x\ufffd[31m\ufffd: no',
    );
  });

  // The parser's recursion ends in a regular expression, where V8 kills the process.
  it('nesting without end is refused before it can end the process', async () => {
    const chain = Array.from({ length: 300 }, (_, i) => `b${i + 1}: &b${i + 1} [*b${i}]`).join('\n');
    for (const yaml of [
      'a: '.padEnd(50_000, '['),
      'a: '.padEnd(50_000, '{'),
      '- '.repeat(50_000),
      `b0: &b0 x\n${chain}\n`,
    ]) {
      const problems = await problemsOf(yaml);
      expect(problems).toHaveLength(1);
      expect(problems[0]).toContain('is nested too deeply');
    }
  });

  it('an alias of nothing is told', async () => {
    expect(await problemsOf('version: 1\njobs: *none\n')).toEqual([
      '2:1 : a value that begins with * is an alias, and this one names no anchor; put a text in quotes',
    ]);
  });

  it('ends an alias bomb', async () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `b${i + 1}: &b${i + 1} [${Array(10).fill(`*b${i}`)}]`,
    );
    const problems = await problemsOf(`b0: &b0 x\n${levels.join('\n')}\n`);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain('aliases make more of this file');
  });

  it('takes aliases that are meant', async () => {
    const { config } = await load(`version: 1
datasources: {d: {type: sqlite, file_path: a}}
destinations: {l: {type: local, path: p}}
jobs:
  a: {datasources: d, destinations: l, retention: &r {keep_last: 2}}
  b: {datasources: d, destinations: l, retention: *r}
`);
    expect(config.jobs['b']!.retention.keep_last).toBe(2);
  });

  it.each([
    '"hunter2\n  hunter2: @hunter2: x: y\n- hunter2',
    '!hunter2',
    '!!hunter2 x',
    '!<hunter2 x',
    '*hunter2',
    '&hunter2 &hunter2 x',
    '@hunter2',
    '%hunter2',
    '`hunter2`',
    '|hunter2',
    '>hunter2',
    '"\\hunter2"',
    "'hunter2'hunter2",
    'hunter2: hunter2',
    '{a: ${hunter2}, b: hunter2}',
    '{a: hunter2]hunter2, hunter2: hunter2}',
    '[hunter2, hunter2}',
    'x\n%hunter2\n---\nhunter2: 1',
    'x\n--- hunter2\nhunter2: 1',
    '- hunter2\n- hunter2',
    'x\n? [hunter2]\n: hunter2',
  ])('never quotes a line, which may hold a secret: %j', async (value) => {
    const problems = await problemsOf(`version: 1\npassword: ${value}\n`);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join()).not.toContain('hunter');
  });

  it('of a line that is no YAML says what to do, and nothing of what comes of it', async () => {
    expect(await problemsOf('datasources: {d: {type: postgres, password: ${PW}, ssl: require}}\n')).toEqual([
      '1:46 : is no valid YAML: this { begins a mapping, after a $ too (between { } and [ ], a variable stands in quotes: "${NAME}")',
    ]);
    expect(await problemsOf('a:\n  password: !x\n')).toEqual([
      '2:13 : is no valid YAML: a value that begins with ! is a tag, and not a known one (a value that begins with one of ! & * @ % ` | > { [ or holds ": " stands in quotes)',
    ]);
  });

  it('sections whose entries are all commented out are empty', async () => {
    const { config } = await load('version: 1\ndefaults:\njobs:\nnotifications:\n  # nothing\n');
    expect(Object.keys(config.jobs)).toEqual([]);
  });
});

describe('interpolation', () => {
  it('a value from the environment arrives unchanged, whatever it holds', async () => {
    const characters = fc.constantFrom(
      '$',
      '{',
      '}',
      "'",
      '"',
      '\n',
      '\r',
      '\t',
      ':',
      '#',
      '-',
      '[',
      '&',
      '*',
      '!',
      '|',
      '\\',
      ' ',
      'ä',
      '\u2028',
      'A',
    );
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: characters, minLength: 1, maxLength: 20 }), async (value) => {
        expect(await password('password: "${P}"', { env: { P: value, A: 'boom' } })).toBe(value);
        expect(await password('password: "${P}-${P}"', { env: { P: value } })).toBe(`${value}-${value}`);
      }),
      { numRuns: 60 },
    );
  });

  it.each(['5432', 'true', 'null', '~', '0x10', '1e3', '[a, b]', '{a: b}', '- a', '*x', '2001-01-01'])(
    'a password %s stays text',
    async (value) => expect(await password('password: "${P}"', { env: { P: value } })).toBe(value),
  );

  it('numbers, booleans, words and lists may come from the environment', async () => {
    const env = { PORT: '6543', YES: 'true', HOST: 'example', CODEC: 'gzip', TYPE: 'postgres', DB: 'all' };
    const { config } = await load(
      yamlWith({
        datasource: 'type: "${TYPE}", host: "${HOST}", port: "${PORT}", database: "${DB}", ssl: "${YES}"',
        job: 'same_source: "${YES}", options: {compression: "${CODEC}", compression_level: "${LEVEL:-9}"}',
      }),
      { env },
    );
    expect(config.datasources['d']).toMatchObject({
      type: 'postgres',
      host: 'example',
      port: 6543,
      all_databases: true,
      ssl: 'verify-full',
    });
    expect(config.jobs['j']).toMatchObject({
      same_source: true,
      options: { compression: 'gzip', compression_level: 9 },
    });
  });

  it('an unset variable is one problem, at its place', async () => {
    const yaml = 'version: 1\ndatasources:\n  d:\n    type: sqlite\n    file_path: ${NOPE}\n';
    expect(await problemsOf(yaml)).toEqual([
      '5:5 datasources.d.file_path: names the environment variable NOPE, which is not set',
    ]);
  });

  it('a value from the environment is not played back in messages', async () => {
    const problems = await problemsOf(yamlWith({ job: 'type: "${P}", timeout: "${P}", retries: "${P}"' }), {
      env: { P: 'fulls' },
    });
    expect(problems).toHaveLength(3);
    expect(problems.join()).not.toContain('fulls');
  });

  it('hooks that are text are left to the shell, arguments are not', async () => {
    const { config } = await load(
      yamlWith({ job: 'hooks: {before: "echo ${X} $$", after: ["${X}", [echo, "${X}"]]}' }),
      { env: { X: 'a; b' } },
    );
    expect(config.jobs['j']!.hooks).toMatchObject({
      before: ['echo ${X} $$'],
      after: ['${X}', ['echo', 'a; b']],
    });
  });
});

describe('the error', () => {
  it('lists all problems, as text and as data, and keeps the notifications that are sound', async () => {
    const folder = await folderWith({
      'backup.yaml': `version: 1
datasources: {d: {type: sqlite}}
notifications:
  good: {type: ping, url_file: url}
  bad: {type: ping}
  closed: {type: ping, url_command: [echo, "http://h"]}
jobs: {j: {datasources: x, destinations: y}}
`,
      url: 'http://h/uuid\n',
    });
    const error = await loadConfig(undefined, { env: {}, cwd: folder }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'config_invalid', exitStatus: 2 });
    expect((error as Error).message.replaceAll(folder, '.')).toBe(
      `the configuration has 4 problems:
  ./backup.yaml:2:15: datasources.d.file_path: is required
  ./backup.yaml:5:3: notifications.bad.url: is required
  ./backup.yaml:7:25: jobs.j.datasources[0]: names the datasource "x", which is not defined (did you mean d?)
  ./backup.yaml:7:41: jobs.j.destinations[0]: names the destination "y", which is not defined (no destination is defined)`
        .replace('7:25', '7:12')
        .replace('7:41', '7:28'),
    );
    expect(configProblems(error)).toHaveLength(4);
    const usable = usableNotifications(error);
    expect(usable.map(({ name, type }) => [name, type])).toEqual([['good', 'ping']]);
    expect(configProblems(new Error('x'))).toEqual([]);
    await writeFile(`${folder}/backup.yaml`, EMPTY);
  });
});
