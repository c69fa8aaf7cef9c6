import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DGUARD, isRoot, NOBODY, type Outcome, runDguard, snapshotOf, workspace } from './support.ts';

const space = workspace();
const CONFIG = {
  datasources: { tree: { type: 'files', source_path: './tree' } },
  destinations: { here: { type: 'local', path: './backups' } },
  jobs: { j: { datasources: ['tree'], destinations: ['here'] } },
};
let id: string;

beforeAll(async () => {
  fs.mkdirSync(space.path('tree'));
  fs.writeFileSync(space.path('tree/file'), 'content\n');
  space.config(CONFIG);
  const run = await space.json('backup', 'j');
  expect(run.code, run.stderr).toBe(0);
  id = run.document.backups[0]!.id;
});
afterAll(() => space.remove());

/** What failed, on what, why, what next; no stack trace; what was there is still there. */
async function refused(run: Promise<Outcome>, code: number, ...parts: (string | RegExp)[]): Promise<void> {
  const before = snapshotOf(space.path('backups'));
  const { code: found, stderr, stdout } = await run;
  expect(found, stderr + stdout).toBe(code);
  expect(stderr).toMatch(/^error: /m);
  expect(stderr).toMatch(/^ {2}next: /m);
  expect(stderr).not.toMatch(/^\s+at /m);
  for (const part of parts) expect(stderr).toMatch(part);
  const after = snapshotOf(space.path('backups'));
  for (const [path, hash] of before) expect(after.get(path), path).toBe(hash);
}

function withConfig(text: string | object, ...args: string[]): Promise<Outcome> {
  const name = `case-${Math.random().toString(36).slice(2)}.yaml`;
  space.write(name, typeof text === 'string' ? text : JSON.stringify({ version: 1, ...text }));
  return space.run(...args, '-c', name);
}

describe('a folder below a path where none can be made, which mkdir -p of Node tries for ever', () => {
  it('as temp_dir is refused, as --log-dir is a warning', async () => {
    const defaults = { temp_dir: '/proc/nosuch/temp' };
    await refused(withConfig({ ...CONFIG, defaults }, 'backup', 'j'), 2, /temp_dir cannot be made: ENOENT/);
    const logged = await space.run('list', '--log-dir', '/proc/nosuch/log');
    expect(logged.code, logged.stderr).toBe(0);
    expect(logged.stderr).toMatch(/nothing more is logged to \/proc\/nosuch\/log/);
  });
});

it('a folder to start in that is gone is named, whatever else is said', async () => {
  fs.mkdirSync(space.path('gone'));
  const script = 'cd gone && rmdir ../gone && "$0" "$1" list -c "$2"';
  const { status, stderr } = spawnSync(
    'sh',
    ['-c', script, process.execPath, DGUARD, space.path('backup.yaml')],
    {
      cwd: space.folder,
      encoding: 'utf8',
    },
  );
  expect(status, stderr).toBe(2);
  expect(stderr).toMatch(
    /^error: list: the folder that it was started in is not there any more\n {2}next: cd to /,
  );
});

describe('a configuration', () => {
  it.each([
    ['that is no YAML', 'version: 1\njobs: [unclosed\n', [/\.yaml:\d+:\d+/]],
    ['with a tab for indentation', 'version: 1\njobs:\n\tj: 1\n', [/\.yaml:3:/]],
    ['with a key twice', 'version: 1\njobs: {}\njobs: {}\n', [/\.yaml:3:/]],
    ['with an unknown key', 'version: 1\ndestination: {}\n', [/\.yaml:2:/, /did you mean.*destinations/i]],
    ['that is empty', '', [/empty|nothing|version/i]],
    ['with only comments', '# one\n# two\n', [/empty|nothing|version/i]],
    ['of another version', 'version: 99\n', [/version/]],
    ['that is a list', '- a\n- b\n', [/\.yaml/]],
    [
      'with a variable that is not set',
      `version: 1\ndefaults: { host: "\${NOT_SET_AT_ALL}" }\n`,
      [/NOT_SET_AT_ALL/],
    ],
    [
      'with aliases that multiply',
      `version: 1\na: &a [x,x,x,x,x,x,x,x,x]\n${['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']
        .map((name, at) => `${name}: &${name} [${`*${'abcdefghi'[at]},`.repeat(9)}]\n`)
        .join('')}`,
      [/alias/i],
    ],
  ] as const)('%s: exit 2, where, what next', async (_, text, parts) => {
    await refused(withConfig(text, 'backup', 'j'), 2, ...parts);
  });

  it('with several problems: all at once', async () => {
    const text =
      'version: 1\ndatasources:\n  a: { type: filez, source_path: ./tree }\n  b: { type: sqlite }\n' +
      'jobs:\n  j: { datasources: [c], destinations: [d] }\n';
    await refused(
      withConfig(text, 'backup', 'j'),
      2,
      /:3:.*did you mean files/,
      /file_path/,
      /\bc\b/,
      /\bd\b/,
    );
  });

  it('that is huge is read, not choked on', async () => {
    const datasources = Object.fromEntries(
      Array.from({ length: 2000 }, (_, i) => [`d${i}`, { type: 'files', source_path: `./tree/${i}` }]),
    );
    const jobs = Object.fromEntries(
      Array.from({ length: 2000 }, (_, i) => [`j${i}`, { datasources: [`d${i}`], destinations: ['here'] }]),
    );
    const run = await withConfig({ ...CONFIG, datasources, jobs }, 'config', 'validate');
    expect(run.code, run.stderr.slice(0, 500)).toBe(0);
  });

  it('that anyone may write is refused', async () => {
    space.write('open.yaml', JSON.stringify({ version: 1, ...CONFIG }));
    fs.chmodSync(space.path('open.yaml'), 0o666);
    await refused(space.run('backup', 'j', '-c', 'open.yaml'), 2, /open\.yaml/, /chmod/);
  });
});

describe('a name that nobody knows: exit 2', () => {
  it.each([
    ['a job', ['backup', 'jj'], [/jj/, /jobs: j/]],
    ['a destination', ['backup', 'j', '--to', 'there'], [/there/, /here/]],
    ['a destination to read', ['list', '--from', 'there'], [/there/, /here/]],
    [
      'an id to restore',
      ['restore', 'full-2026-01-02T03-04-05Z-abcdefgh', '--to-path', './x'],
      [/abcdefgh/, /dguard list/],
    ],
    ['an id to show', ['show', 'nothing'], [/nothing/, /dguard list/]],
    ['an id to verify', ['verify', 'nothing'], [/nothing/, /dguard list/]],
    ['an id to delete', ['delete', 'nothing', '--yes'], [/nothing/, /dguard list/]],
    ['a job to list', ['list', 'nothing'], [/nothing/]],
    ['a job to roll back', ['rollback', 'nothing', '--yes'], [/knows a job nothing/, /dguard list/]],
    ['a destination to prune', ['prune', '--destination', 'there'], [/there/, /destinations: here/]],
    ['a job that every object has', ['backup', 'constructor'], [/no job constructor/]],
  ] as const)('%s', async (_, args, parts) => {
    await refused(space.run(...args), 2, ...parts);
  });

  it('a member to cat', async () => {
    await refused(space.run('cat', id, 'no/such'), 2, /no\/such/, /dguard ls/);
    await refused(space.run('cat', id, './'), 2, /\.\/ is no file but a directory/, /dguard ls/);
  });

  it('a path to ls', async () => {
    await refused(space.run('ls', id, 'no/such'), 2, /no\/such/, /dguard ls/);
  });

  it('a folder without its slash, and no configuration', async () => {
    const elsewhere = workspace();
    try {
      fs.cpSync(space.path('backups'), elsewhere.path('copies'), { recursive: true });
      await refused(elsewhere.run('list', '--from', 'copies'), 2, /copies/, /\.\/copies/);
    } finally {
      elsewhere.remove();
    }
  });

  it('a datasource to restore that the job never had: exit 2', async () => {
    await refused(
      space.run('restore', 'j', '--datasource', 'x', '--to-path', './x'),
      2,
      /no datasource x/,
      /it has: tree/,
    );
  });

  it('a time that is none', async () => {
    await refused(space.run('restore', 'j', '--at', 'yesteryear', '--to-path', './x'), 2, /yesteryear/);
  });
});

describe('what is given and says nothing, or two things', () => {
  it.each([
    ['backup', 'j', '--only='],
    ['backup', ''],
    ['list', '--datasource='],
    ['-c', '', 'list'],
    ['--log-dir=', 'list'],
    ['restore', 'j', '--to-path='],
    ['restore', 'j', '--to-path', 'out', '--only='],
    ['config', 'validate', '-c', ''],
  ])('is refused where it is empty, as from a variable that is not set: %j %j %j', async (...args) => {
    await refused(space.run(...args), 2, /is given and empty/);
    expect(fs.existsSync(space.path('out'))).toBe(false);
    const json = await space.run('--json', ...args);
    expect(json.code).toBe(2);
    expect(JSON.parse(json.stdout)).toMatchObject({ exit_code: 2, errors: [{ code: 'usage' }] });
  });

  it('nothing is restored where it is not clear to where', async () => {
    const live = fs.readFileSync(space.path('tree/file'), 'utf8');
    fs.writeFileSync(space.path('tree/new'), 'mine');
    const restore = (...args: string[]) => space.run('restore', 'j', '--overwrite', ...args);
    await refused(restore('--to-database', 'other'), 2, /--to-database names a database.*tree is files/);
    await refused(restore('--to', 'tree', '--to-path', 'out'), 2, /--to and --to-path each name a place/);
    await refused(restore('--to-path', 'tree/file/below'), 1, /lies below a file/);
    expect(fs.readFileSync(space.path('tree/file'), 'utf8')).toBe(live);
    expect(fs.readFileSync(space.path('tree/new'), 'utf8')).toBe('mine');
    fs.rmSync(space.path('tree/new'));
  });

  it('a duration that is none is named with its option', async () => {
    await refused(space.run('backup', 'j', '--wait-lock', '5x'), 2, /--wait-lock: 5x is no duration/);
    await refused(space.run('status', '--max-age', '0s'), 2, /--max-age: 0s is no duration/);
  });
});

describe('a source', () => {
  const job = (source: object) => ({ ...CONFIG, datasources: { tree: { type: 'files', ...source } } });

  it('that is missing: exit 1, never an empty backup', async () => {
    await refused(withConfig(job({ source_path: './gone' }), 'backup', 'j'), 1, /gone/);
  });
  it('that is a database in a folder that is missing: said of what is read, not of a restore', async () => {
    const config = { ...CONFIG, datasources: { tree: { type: 'sqlite', file_path: './gone/app.db' } } };
    const run = await withConfig(config, 'backup', 'j');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toMatch(/no such database file/);
    expect(run.stderr).not.toMatch(/--to-path|mkdir/);
    // What an interrupted restore has left there cannot be seen: that is not that there is nothing.
    await refused(
      withConfig(config, 'restore', 'j', '--recover'),
      1,
      /its folder does not exist/,
      /mount the disk/,
    );
  });
  it('that is empty (an unmounted disk): exit 1', async () => {
    fs.mkdirSync(space.path('void'), { recursive: true });
    await refused(withConfig(job({ source_path: './void' }), 'backup', 'j'), 1, /void/, /empty|mount/);
  });
  it('afterwards only the good backup is good, and the job restores', async () => {
    const listed = await space.listed();
    expect(listed.filter(({ computed }) => computed.good).map((each) => each.id)).toEqual([id]);
    const run = await space.run('restore', 'j', '--to-path', './restored');
    expect(run.code, run.stderr).toBe(0);
    execFileSync('diff', ['-r', space.path('tree'), space.path('restored')]);
  });
});

describe('surroundings', () => {
  const at = (env: Record<string, string | undefined>, ...args: string[]) =>
    runDguard(args, { cwd: space.folder, env });

  it('no HOME and no XDG folders: works', async () => {
    const none = { HOME: undefined, XDG_CONFIG_HOME: undefined, XDG_RUNTIME_DIR: undefined, USER: undefined };
    expect((await at(none, 'backup', 'j')).code).toBe(0);
    expect((await at(none, 'list')).code).toBe(0);
  });

  it('a temporary folder that cannot be: exit 2, named; nothing good comes of it', async () => {
    await refused(
      at({ TMPDIR: space.path('tree/file/sub') }, 'backup', 'j'),
      2,
      /tree\/file\/sub/,
      /temp_dir/,
    );
  });

  it("the configuration's temp_dir is used instead of the system's", async () => {
    space.write('temp.yaml', JSON.stringify({ version: 1, defaults: { temp_dir: './staging' }, ...CONFIG }));
    const run = await at({ TMPDIR: space.path('tree/file/sub') }, 'backup', 'j', '-c', 'temp.yaml');
    expect(run.code, run.stderr).toBe(0);
    expect(fs.readdirSync(space.path('staging'))).toEqual([]);
  });

  it.runIf(isRoot)(
    'a folder of the configuration that may not be written, and a source that may not be read',
    async () => {
      const away = workspace({ uid: NOBODY });
      try {
        for (const name of ['tree', 'backups']) fs.mkdirSync(away.path(name));
        fs.writeFileSync(away.path('tree/file'), 'x');
        away.config(CONFIG);
        for (const name of ['backups', 'backup.yaml']) fs.chownSync(away.path(name), NOBODY, NOBODY);
        fs.chmodSync(away.folder, 0o555);
        const run = await away.run('backup', 'j');
        expect(run.code, run.stderr).toBe(0);
        fs.chmodSync(away.path('tree'), 0o700);
        await refused(away.run('backup', 'j'), 1, /tree/, /permission|EACCES|not allowed|may not/i);
        expect((await away.listed()).filter(({ computed }) => computed.good)).toHaveLength(1);
      } finally {
        away.remove();
      }
    },
  );

  it('a reader that goes away is no failure and no noise', () => {
    const script = `set -o pipefail; ${process.execPath} ${DGUARD} list | head -1`;
    const run = spawnSync('bash', ['-c', script], { cwd: space.folder, encoding: 'utf8' });
    expect(run.stderr).toBe('');
    expect([0, 141]).toContain(run.status);
    expect(run.stdout.split('\n')).toHaveLength(2);
  });

  it('a stdout that is full: what was not said is not called done', () => {
    const script = `${process.execPath} ${DGUARD} list >/dev/full`;
    const run = spawnSync('sh', ['-c', script], { cwd: space.folder, encoding: 'utf8' });
    expect(run.status).not.toBe(0);
    expect(run.stderr).not.toMatch(/^\s+at /m);
  });

  it('-v shows where an error came from, and only -v', async () => {
    expect((await space.run('show', 'nothing')).stderr).not.toMatch(/^\s+at /m);
    expect((await space.run('-v', 'show', 'nothing')).stderr).toMatch(/^\s+at /m);
  });
});
