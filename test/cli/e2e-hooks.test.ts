import fs from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startDguard, type Workspace, workspace } from './support.ts';

let space: Workspace;
beforeEach(() => {
  space = workspace();
  fs.mkdirSync(space.path('tree'));
  fs.writeFileSync(space.path('tree/file'), 'content');
  // Says which hook it is and what it was told; its arguments stay what they are.
  space.write(
    'note.sh',
    '#!/bin/sh\necho "$DGUARD_HOOK job=$DGUARD_JOB type=$DGUARD_TYPE status=$DGUARD_STATUS run=$DGUARD_RUN_ID args=$*" >> log\n',
    0o755,
  );
});
afterEach(() => space.remove());

const note = ['sh', 'note.sh'];

function configure(
  hooks: object,
  more: { source?: string; job?: string; tags?: object; timeout?: string } = {},
): void {
  space.config({
    datasources: { tree: { type: 'files', source_path: more.source ?? './tree' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: {
      [more.job ?? 'j']: {
        datasources: ['tree'],
        destinations: ['here'],
        hooks,
        ...(more.tags ? { tags: more.tags } : {}),
        ...(more.timeout ? { timeout: more.timeout } : {}),
      },
    },
  });
}

const log = () =>
  fs.existsSync(space.path('log')) ? fs.readFileSync(space.path('log'), 'utf8').trim().split('\n') : [];
const kinds = () => log().map((line) => line.split(' ')[0]);
const all = { before: [note, note], after: [note], on_success: [note], on_error: [note] };

describe('hooks run in order and are told the facts', () => {
  it('of a backup that succeeds', async () => {
    configure(all);
    const run = await space.json('backup', 'j', '--type', 'snapshot');
    expect(run.code, run.stderr).toBe(0);
    expect(kinds()).toEqual(['before', 'before', 'on_success', 'after']);
    const runId = run.document.backups[0]!.run_id;
    for (const line of log()) expect(line).toContain(`job=j type=snapshot`);
    for (const line of log()) expect(line).toContain(`run=${runId}`);
    expect(log().at(-1)).toContain('status=completed');
  });

  it('of a backup that fails', async () => {
    configure(all, { source: './gone' });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(1);
    expect(kinds()).toEqual(['before', 'before', 'on_error', 'after']);
    expect(log().at(-1)).toContain('status=failed');
  });

  it('not at all with --dry-run', async () => {
    configure(all);
    expect((await space.run('backup', 'j', '--dry-run')).code).toBe(0);
    expect(log()).toEqual([]);
  });
});

describe('two runs of a job with hooks', () => {
  it('never overlap: the second, locked out, comes neither to before nor to after', async () => {
    configure({ before: [note, 'until [ -e go ]; do sleep 0.1; done'], after: [note], on_error: [note] });
    const first = space.run('backup', 'j');
    while (log().length === 0) await setTimeout(50);
    const second = await space.run('backup', 'j');
    expect(second.code, second.stderr).toBe(5);
    expect(kinds()).toEqual(['before', 'on_error']);
    space.write('go', '');
    expect((await first).code).toBe(0);
    expect(kinds()).toEqual(['before', 'on_error', 'after']);
  });
});

describe('a before hook that fails', () => {
  it.each([
    ['an exit status', ['sh', '-c', 'echo why it failed >&2; exit 7']],
    ['a text for the shell', 'echo why it failed >&2; false'],
  ])('by %s: exit 1, nothing is written, on_error runs, on_success does not', async (_, failing) => {
    configure({ ...all, before: [note, failing, note] });
    const run = await space.json('backup', 'j');
    expect(run.code, run.stderr).toBe(1);
    expect(run.document.errors[0]!.code).toBe('hook_failed');
    expect(run.document.errors[0]!.message).toContain('why it failed');
    expect(run.document.backups).toEqual([]);
    expect(fs.existsSync(space.path('backups'))).toBe(false);
    expect(kinds()).toEqual(['before', 'on_error', 'after']);
  });

  it('by not being there: the same, and it is named', async () => {
    configure({ before: [['./no-such-program']] });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toMatch(/before hook/);
    expect(run.stderr).toMatch(/no-such-program|ENOENT|could not be run/);
    expect(run.stderr).toContain('next:');
    expect(fs.existsSync(space.path('backups'))).toBe(false);
  });
});

describe('an interrupted run', () => {
  it('comes to on_error and after: what before has stopped is started again', async () => {
    configure({ ...all, before: [note, 'sleep 600'] });
    const { child, ended } = startDguard(['backup', 'j'], { cwd: space.folder });
    while (log().length === 0) await setTimeout(50);
    child.kill('SIGTERM');
    // As timeout(1) sends it: twice.
    await setTimeout(20);
    child.kill('SIGTERM');
    const run = await ended;
    expect(run.code, run.stderr).toBe(143);
    expect(kinds()).toEqual(['before', 'on_error', 'after']);
    expect(log().at(-1)).toContain('status=failed');
  });
});

describe('a later hook that does not end', () => {
  it('gets as long as the job', async () => {
    configure({ on_success: 'sleep 600', after: [note] }, { timeout: '5s' });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain('the on_success hook did not end: its 5 s are over');
  });
});

describe('a later hook that fails', () => {
  it.each(['after', 'on_success'])('%s: a warning; the backup is good', async (kind) => {
    configure({ [kind]: [['sh', '-c', 'echo said why >&2; exit 3'], note] });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toMatch(new RegExp(`warning: .*${kind} hook.*said why`));
    expect((await space.listed()).map(({ computed }) => computed.good)).toEqual([true]);
  });
});

describe('nothing is interpolated', () => {
  it('arguments of a list are words, not shell', async () => {
    configure({ before: [[...note, '$(touch pwned)', '; touch pwned', '$HOME', '*']] });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(0);
    expect(log()[0]).toContain('args=$(touch pwned) ; touch pwned $HOME *');
    expect(fs.existsSync(space.path('pwned'))).toBe(false);
  });

  it('a tag with a command in it stays a tag', async () => {
    configure({ before: 'echo "$DGUARD_JOB" >> log', after: 'env | grep ^DGUARD >> log' });
    const tag = 'x=$(touch pwned)`touch pwned`;touch pwned';
    const run = await space.json('backup', 'j', '--tag', tag);
    expect(run.code, run.stderr).toBe(0);
    expect(run.document.backups[0]!.tags).toEqual([tag]);
    expect(fs.existsSync(space.path('pwned'))).toBe(false);
  });

  it('a job cannot have a name that a shell would run', async () => {
    configure({}, { job: '$(touch pwned)' });
    const run = await space.run('backup', '$(touch pwned)');
    expect(run.code, run.stderr).toBe(2);
    expect(fs.existsSync(space.path('pwned'))).toBe(false);
  });
});

describe('output', () => {
  it('of hooks stays out of the JSON document, and out of stdout without it', async () => {
    configure({ before: 'echo noise; echo noise >&2', after: 'echo noise' });
    const run = await space.json('backup', 'j');
    expect(run.code).toBe(0);
    expect(run.stdout).not.toContain('noise');
    const plain = await space.run('backup', 'j');
    expect(plain.stdout).not.toContain('noise');
  });

  it('more than fits into memory does not stop the job', async () => {
    configure({ before: 'yes | head -c 20000000' });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(0);
  });
});

it('a job that counts on notifications is told that there are none yet', async () => {
  space.config({
    datasources: { tree: { type: 'files', source_path: './tree' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { j: { datasources: ['tree'], destinations: ['here'], notify: ['ops'] } },
    notifications: { ops: { type: 'ping', url: 'http://127.0.0.1:9/x' } },
  });
  const run = await space.run('backup', 'j');
  expect(run.code, run.stderr).toBe(0);
  expect(run.stderr).toMatch(/^warning: .*nobody is told/m);
});
