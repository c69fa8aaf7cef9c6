// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadConfig, validateConfig } from '../../src/config/load.ts';
import { configProblems, usableNotifications } from '../../src/config/problems.ts';
import type { PostgresConfig } from '../../src/config/types/datasources.ts';
import { DguardError } from '../../src/errors.ts';
import { brief, folderWith, load, problemsOf, yamlWith } from './fixture.ts';

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
    ['version: 1\njobs: &a {x: *a}\n', '2:11 : alias *a holds itself'],
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

  it('an alias of nothing is named', async () => {
    expect(await problemsOf('version: 1\njobs: *none\n')).toEqual(['2:1 : alias *none names no anchor']);
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

  it('never quotes a line, which may hold a secret', async () => {
    const problems = await problemsOf(
      'version: 1\npassword: "hunter2\n  hunter2: @hunter2: x: y\n- hunter2\n',
    );
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join()).not.toContain('hunter2');
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

describe('secrets', () => {
  it.each([
    ['secret', 'secret'],
    ['secret\n', 'secret'],
    ['secret\r\n', 'secret'],
    ['secret\n\n', 'secret\n'],
    [' $A ${A} \n', ' $A ${A} '],
  ])('a file %j gives %j', async (content, expected) => {
    expect(await password('password_file: s/pw', { files: { 's/pw': content } })).toBe(expected);
  });

  it('a command runs without a shell, in the folder of its file, with the environment', async () => {
    const run = (script: string) =>
      password(`password_command: [sh, -c, ${JSON.stringify(script)}, x, "$(echo no); $HOME"]`, {
        env: { PATH: process.env['PATH'], V: 'v w' },
        files: { here: 'h' },
      });
    expect(await run('printf "%s|%s|%s" "$1" "$$V" "$(cat here)"'.replace('$$V', '$V'))).toBe(
      '$(echo no); $HOME|v w|h',
    );
    expect(await run('printf "a\\n\\n"')).toBe('a\n');
  });

  it.each([
    ['password_file: none', 'datasources.d.password_file: ./none does not exist'],
    ['password_file: .', 'datasources.d.password_file: . is a folder, not a file'],
    ['password_file: empty', 'datasources.d.password_file: is empty'],
    [
      'password_command: [no-such-program-here]',
      'datasources.d.password_command: the command no-such-program-here was not found (run it by hand to see why)',
    ],
    [
      'password_command: [sh, -c, "echo hunter2; echo hunter2 >&2; exit 3"]',
      'datasources.d.password_command: the command sh failed with exit status 3 (run it by hand to see why)',
    ],
    ['password_command: ["true"]', 'datasources.d.password_command: is empty'],
    [
      'password_command: [yes]',
      'datasources.d.password_command: the command yes took too long or said too much (run it by hand to see why)',
    ],
  ])('%s is a problem', async (extra, expected) => {
    const problems = await problemsOf(pg(extra), {
      env: { PATH: process.env['PATH'] },
      files: { empty: '\n' },
    });
    expect(problems).toEqual([`3:${problems[0]?.match(/^3:(\d+)/)?.[1]} ${expected}`]);
  });

  it('a command is not run while the configuration has other problems', async () => {
    const folder = await folderWith({});
    const problems = await problemsOf(pg(`port: 0, password_command: [touch, ${folder}/ran]`), {
      env: { PATH: process.env['PATH'] },
    });
    expect(problems).toEqual(['3:57 datasources.d.port: must be at least 1']);
    await expect(chmod(`${folder}/ran`, 0o600)).rejects.toThrow('ENOENT');
  });

  it('a key is 32 bytes, raw, hex or base64', async () => {
    // Ends in a newline byte, which belongs to it.
    const raw = Buffer.from([...Array(31).keys(), 0x0a]);
    const key = async (job: string, files: Readonly<Record<string, string | Buffer>> = {}) =>
      (await load(yamlWith({ job: `encryption: {${job}}` }), { files })).config.jobs[
        'j'
      ]!.encryption?.key?.reveal();
    const expected = raw.toString('base64');
    expect(await key('key_file: k', { k: raw })).toBe(expected);
    expect(await key('key_file: k', { k: `${raw.toString('hex')}\n` })).toBe(expected);
    expect(await key('key_file: k', { k: `${expected}\n` })).toBe(expected);
    expect(await key(`key: "${expected}"`)).toBe(expected);
    const short = await problemsOf(yamlWith({ job: 'encryption: {key_file: k}' }), {
      files: { k: raw.subarray(1) },
    });
    expect(short.join()).toContain('is no key');
  });

  it('a private key knows the file that it came from', async () => {
    const yaml = yamlWith({
      destination: 'type: sftp, host: h, username: u, remote_path: /r, private_key_file: k',
    });
    const { config, folder } = await load(yaml, { files: { k: 'KEY\nlines\n' } });
    const destination = config.destinations['l'] as {
      private_key?: { reveal(): string };
      private_key_file?: string;
    };
    expect([destination.private_key?.reveal(), destination.private_key_file]).toEqual([
      'KEY\nlines',
      `${folder}/k`,
    ]);
  });

  it.each([
    ['datasource', 'type: sqlserver, host: h, database: x, password: hunter2'],
    [
      'destination',
      'type: s3, bucket: bkt, access_key_id: i, secret_access_key: hunter2, session_token: hunter2',
    ],
    [
      'destination',
      'type: sftp, host: h, username: u, remote_path: r, password: hunter2, private_key: hunter2, passphrase: hunter2',
    ],
    ['destination', 'type: backblaze, bucket_name: bkt, application_key_id: i, application_key: hunter2'],
    ['notification', 'type: smtp, host: h, from: a@b, to: c@d, username: u, password: hunter2'],
    ['notification', 'type: webhook, preset: telegram, chat_id: c, token: hunter2'],
    ['notification', 'type: ping, url: "http://h/hunter2"'],
    ['job', 'encryption: {passphrase: hunter2, identity: hunter2}'],
  ])('of a %s {%s} are closed in the configuration', async (part, text) => {
    const { config } = await load(yamlWith({ [part]: text }));
    expect(inspect(config, { depth: 20 })).toContain('[redacted]');
    expect(inspect(config, { depth: 20 }) + JSON.stringify(config)).not.toContain('hunter2');
  });

  it('never stand in an error', async () => {
    const yaml = yamlWith({
      datasource: 'type: postgres, host: h, database: x, password: hunter2, port: x',
      notification: 'type: webhook, url: "hunter2://hunter2"',
    });
    expect((await problemsOf(yaml)).join()).not.toContain('hunter2');
  });
});

describe('who may touch the files', () => {
  const SECRET = pg('password: hunter2');
  async function check(
    mode: number,
    yaml: string,
    options: { uid?: number; trustConfig?: boolean; env?: Record<string, string> } = {},
  ) {
    const folder = await folderWith({ 'backup.yaml': yaml, pw: 'x' });
    await chmod(`${folder}/backup.yaml`, mode);
    const { problems } = await validateConfig('backup.yaml', { env: {}, cwd: folder, uid: 1000, ...options });
    return problems.map((problem) => `${problem.severity} ${brief(problem, folder)}`);
  }
  const readable = [
    'unsafe 1:1 : can be read by anyone and holds a secret in clear (chmod 600 ./backup.yaml)',
  ];

  it('readable by all with a secret in clear is refused', async () => {
    expect(await check(0o644, SECRET)).toEqual(readable);
    expect(await check(0o644, pg('password: "${P:-hunter2}"'))).toEqual(readable);
    expect(await check(0o644, pg('password: 1'))).not.toEqual([]);
    expect(await check(0o644, yamlWith({ datasource: 'type: mysql, uri: "mysql://u:pw@h/d"' }))).toEqual(
      readable,
    );
    expect(
      await check(0o644, yamlWith({ datasource: 'type: mysql, uri: "mysql://u:${A:-pw}@h/d"' })),
    ).toEqual(readable);
    expect(
      await check(0o644, yamlWith({ notification: 'type: webhook, url: "http://h", headers: {A: b}' })),
    ).toEqual(readable);
  });

  it('readable by all without one is fine', async () => {
    const env = { P: 'p' };
    expect(await check(0o644, pg('password: "${P}"'), { env })).toEqual([]);
    expect(await check(0o644, pg('password_file: pw'))).toEqual([]);
    expect(
      await check(0o644, yamlWith({ datasource: 'type: mysql, uri: "mysql://u:${P}@h/d"' }), { env }),
    ).toEqual([]);
    expect(await check(0o644, yamlWith({ datasource: 'type: mysql, uri: "mysql://h:3306/d"' }))).toEqual([]);
    expect(await check(0o640, SECRET)).toEqual([]);
  });

  it('writable by all is refused always, by the group (umask 002) a warning', async () => {
    expect(await check(0o606, EMPTY)).toEqual([
      'unsafe 1:1 : can be written by anyone (chmod go-w ./backup.yaml)',
    ]);
    expect(await check(0o606, EMPTY, { trustConfig: true, uid: 0 })).toHaveLength(1);
    expect(await check(0o664, EMPTY)).toEqual([
      'warning 1:1 : can be written by its group (chmod go-w ./backup.yaml)',
    ]);
  });

  it('the code is config_unsafe, and nothing is opened or notified then', async () => {
    const folder = await folderWith({ 'backup.yaml': pg('password_file: missing') });
    await chmod(`${folder}/backup.yaml`, 0o666);
    const error = await loadConfig('backup.yaml', { env: {}, cwd: folder, uid: 1000 }).catch(
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ code: 'config_unsafe', exitStatus: 2 });
    expect(configProblems(error)).toHaveLength(1);
    expect(usableNotifications(error)).toEqual([]);
  });

  it('includes and secret files are held to the same', async () => {
    const folder = await folderWith({
      'backup.yaml': `include: i.yaml\n${pg('password_file: pw')}`,
      pw: 'x',
      'i.yaml': EMPTY,
    });
    await chmod(`${folder}/i.yaml`, 0o602);
    const options = { env: {}, cwd: folder, uid: 1000 };
    const messages = async () =>
      (await validateConfig(undefined, options)).problems.map((problem) =>
        `${problem.severity} ${problem.message}`.replace(folder, '.'),
      );
    expect(await messages()).toEqual(['unsafe can be written by anyone']);
    await chmod(`${folder}/i.yaml`, 0o600);
    await chmod(`${folder}/pw`, 0o602);
    expect(await messages()).toEqual(['unsafe ./pw can be written by anyone']);
    await chmod(`${folder}/pw`, 0o660);
    expect(await messages()).toEqual(['warning ./pw can be written by its group']);
  });

  // Only root can give a file away, and only for root it matters.
  it.runIf(process.getuid?.() === 0)(
    'commands out of the file of another user are not for root',
    async () => {
      const run = async (yaml: string, options: { uid: number; trustConfig?: boolean }) => {
        const folder = await folderWith({ 'backup.yaml': yaml });
        await chown(`${folder}/backup.yaml`, 12_345, 12_345);
        const { problems } = await validateConfig('backup.yaml', {
          env: { PATH: process.env['PATH'] },
          cwd: folder,
          ...options,
        });
        return problems.map((problem) => `${problem.severity} ${brief(problem, folder)}`);
      };
      const refused = [
        'unsafe 1:1 : holds commands for root to run, and belongs to user id 12345 (chown root ./backup.yaml, or --trust-config)',
      ];
      const command = pg('password_command: [echo, x]');
      expect(await run(command, { uid: 0 })).toEqual(refused);
      expect(await run(yamlWith({ job: 'hooks: {before: x}' }), { uid: 0 })).toEqual(refused);
      expect(await run(pg('client_command: [x]'), { uid: 0 })).toEqual(refused);
      expect(await run(pg('client_path: /x'), { uid: 0 })).toEqual(refused);
      expect(await run(command, { uid: 0, trustConfig: true })).toEqual([]);
      expect(await run(command, { uid: 1000 })).toEqual([]);
      expect(await run(pg('username: x'), { uid: 0 })).toEqual([]);
    },
  );
});

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

describe('discovery', () => {
  it('takes the named file, then the environment, then the folders in order', async () => {
    const folder = await folderWith({
      'named.yaml': EMPTY,
      'env.yaml': EMPTY,
      'cwd/backup.yaml': EMPTY,
      'xdg/dguard/backup.yaml': EMPTY,
      'home/.config/dguard/backup.yaml': EMPTY,
    });
    await mkdir(`${folder}/none`);
    const find = async (file: string | undefined, cwd: string, env: Record<string, string>) =>
      (await loadConfig(file, { env, cwd: `${folder}/${cwd}` })).path.replace(`${folder}/`, '');
    const env = {
      DGUARD_CONFIG: `${folder}/env.yaml`,
      XDG_CONFIG_HOME: `${folder}/xdg`,
      HOME: `${folder}/home`,
    };
    expect(await find('../named.yaml', 'cwd', env)).toBe('named.yaml');
    expect(await find(undefined, 'cwd', env)).toBe('env.yaml');
    expect(await find(undefined, 'cwd', { ...env, DGUARD_CONFIG: '' })).toBe('cwd/backup.yaml');
    expect(await find(undefined, 'none', { ...env, DGUARD_CONFIG: '' })).toBe('xdg/dguard/backup.yaml');
    expect(await find(undefined, 'none', { HOME: `${folder}/home` })).toBe('home/.config/dguard/backup.yaml');
  });

  it('a named file that is missing is not passed over', async () => {
    const folder = await folderWith({ 'backup.yaml': EMPTY });
    for (const [file, env] of [
      ['x.yaml', {}],
      [undefined, { DGUARD_CONFIG: 'x.yaml' }],
    ] as const) {
      const error = await loadConfig(file, { env, cwd: folder }).catch((thrown) => thrown);
      expect(error).toMatchObject({ code: 'config_invalid' });
      expect((error as Error).message).toContain('x.yaml:1:1: does not exist');
    }
  });

  it('none at all says where it looked and what to do', async () => {
    const folder = await folderWith({});
    const error = await loadConfig(undefined, { env: {}, cwd: folder }).catch((thrown) => thrown);
    // A host may have /etc/dguard/backup.yaml; then there is nothing to see here.
    if (error instanceof DguardError) {
      const hint = expect.stringContaining('backup.example.yaml');
      expect(error).toMatchObject({ code: 'config_invalid', hint });
      expect(error.message).toContain(`${folder}/backup.yaml`);
    }
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
