import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDocument, parseLines } from './documents.ts';
import { workspace } from './support.ts';

// A name of its own: locks are of this host, whatever the folder.
const JOB = `json-${process.pid}`;
const place = workspace();
afterAll(() => place.remove());

/** Runs a command with --json: exactly one valid document on stdout, nothing but JSON lines on stderr. */
async function run(command: string, code: number, ...args: string[]) {
  const outcome = await place.run(...args, '--json');
  const document = parseDocument(command, outcome.stdout);
  const lines = parseLines(outcome.stderr);
  expect(outcome.code, outcome.stdout + outcome.stderr).toBe(code);
  expect(document.exit_code).toBe(code);
  return { document: document as typeof document & Record<string, never[]>, lines };
}

const ids: string[] = [];
beforeAll(async () => {
  mkdirSync(place.path('src'));
  for (const name of ['a.txt', 'b.txt', 'c.txt']) writeFileSync(place.path('src', name), name);
  place.config({
    datasources: { files: { type: 'files', source_path: './src' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { [JOB]: { datasources: ['files'], destinations: ['here'], retention: { keep_last: 5 } } },
  });
  const first = await run('backup', 0, 'backup', JOB);
  ids.push((first.document['backups'] as { id: string }[])[0]!.id);
  writeFileSync(place.path('src/a.txt'), 'changed');
  writeFileSync(place.path('src/d.txt'), 'new');
  rmSync(place.path('src/b.txt'));
  const second = await run('backup', 0, 'backup', JOB);
  ids.push((second.document['backups'] as { id: string }[])[0]!.id);
});

describe('the document of', () => {
  it('backup: its stages on stderr', async () => {
    const { lines } = await run('backup', 0, 'backup', JOB, '--type', 'snapshot', '--to', 'here');
    const stages = lines.flatMap((line) => (line.type === 'stage' ? [line.stage] : []));
    expect(stages).toEqual(expect.arrayContaining(['prepare', 'dump', 'finish']));
    expect(lines.at(-1)).toMatchObject({ type: 'done', job: JOB, subject: 'files', outcome: 'completed' });
  });
  it('backup --no-progress: stderr is silent', async () => {
    expect((await run('backup', 0, 'backup', JOB, '--no-progress')).lines).toEqual([]);
  });
  it('backup --dry-run: the plan', async () => {
    const { document } = await run('backup', 0, 'backup', JOB, '--dry-run');
    expect(document['plan']).toEqual([
      { job: JOB, datasources: ['files'], destinations: ['here'], type: 'full' },
    ]);
  });
  it('list, and its filters', async () => {
    const all = (await run('list', 0, 'list')).document['backups'] as { id: string }[];
    expect(all.map(({ id }) => id)).toEqual(expect.arrayContaining(ids));
    const of = async (...args: string[]) =>
      (await run('list', 0, 'list', ...args)).document['backups']!.length;
    expect(await of('--type', 'snapshot')).toBe(1);
    expect(await of('--limit', '1')).toBe(1);
    expect(await of('--status', 'good')).toBe(all.length);
    expect(await of('--since', '1h')).toBe(all.length);
    expect(await of('--until', '1h')).toBe(0);
    expect(await of('--prefix', `${JOB}/files/snap`)).toBe(1);
    expect(await of('--prefix', 'elsewhere/')).toBe(0);
  });
  it('show', async () => {
    const { document } = await run('show', 0, 'show', ids[0]!);
    expect(document['backup']).toMatchObject({ id: ids[0] });
  });
  it('ls', async () => {
    const { document } = await run('ls', 0, 'ls', ids[0]!);
    expect(document['entries']).toContainEqual({ path: 'a.txt', kind: 'file', size: 5 });
  });
  it('cat: refused, and why', async () => {
    const { document } = await run('cat', 2, 'cat', ids[0]!, 'a.txt');
    expect(document['errors']![0]).toMatchObject({ code: 'usage', operation: 'cat' });
  });
  it('diff', async () => {
    const { document } = await run('diff', 0, 'diff', ids[0]!, ids[1]!);
    const changes = (document['changes'] as { change: string; path: string }[]).filter(({ path }) => path);
    expect(changes).toEqual(
      expect.arrayContaining([
        { change: 'changed', path: 'a.txt' },
        { change: 'removed', path: 'b.txt' },
        { change: 'added', path: 'd.txt' },
      ]),
    );
  });
  it('restore --dry-run, then restore', async () => {
    const dry = await run('restore', 0, 'restore', JOB, '--to-path', './out', '--dry-run');
    expect(dry.document['restored']![0]).toMatchObject({ job: JOB, datasource: 'files' });
    expect((dry.document['restored'] as unknown as { plan: string[] }[])[0]!.plan.length).toBeGreaterThan(0);
    const done = await run('restore', 0, 'restore', ids[0]!, '--to-path', './out');
    expect(done.document['restored']![0]).toMatchObject({ id: ids[0], target: place.path('out') });
    expect(readFileSync(place.path('out/a.txt'), 'utf8')).toBe('a.txt');
  });
  it('verify, of one, of the newest, of all, of a share', async () => {
    const of = async (...args: string[]) => (await run('verify', 0, 'verify', ...args)).document['checks']!;
    expect(await of(ids[0]!)).toMatchObject([{ id: ids[0], overall: 'pass' }]);
    expect(await of(JOB, '--newest', '2', '--level', 'exists')).toHaveLength(2);
    const all = await of('--all', '--level', 'exists');
    expect(await of('--sample', '50%', '--level', 'exists')).toHaveLength(Math.ceil(all.length / 2));
    expect(await of('--sample', '1%', '--level', 'exists')).toHaveLength(1);
  });
  it('pin, unpin, prune --dry-run, unlock', async () => {
    const { document } = await run('pin', 0, 'pin', ids[0]!);
    expect(document['marked']).toHaveLength(1);
    await run('unpin', 0, 'unpin', ids[0]!);
    await run('accept', 2, 'accept', ids[0]!);
    const prune = await run('prune', 0, 'prune', JOB, '--dry-run');
    expect((prune.document['plan'] as { id: string }[]).map(({ id }) => id)).toContain(ids[0]);
    await run('unlock', 0, 'unlock', JOB);
  });
  it('status, and how old is too old', async () => {
    const { document } = await run('status', 0, 'status', JOB, '--max-age', '1h');
    expect(document['rows']).toMatchObject([{ job: JOB, datasource: 'files', state: 'ok' }]);
    const stale = await run('status', 9, 'status', JOB, '--max-age', '1s');
    expect(stale.document['errors']).toMatchObject([{ code: 'stale', subject: `${JOB}/files at here` }]);
  });
  it('delete', async () => {
    const { document } = await run('backup', 0, 'backup', JOB);
    const [{ id }] = document['backups'] as unknown as [{ id: string }];
    const deleted = await run('delete', 0, 'delete', id, '--yes');
    expect(deleted.document['deleted']).toEqual([`here:${JOB}/files/${id}`]);
  });
  it('config validate, show, schema; completion', async () => {
    await run('config validate', 0, 'config', 'validate');
    await run('config show', 0, 'config', 'show');
    await run('config schema', 0, 'config', 'schema');
    await run('completion', 0, 'completion', 'bash');
  });
});

describe('a failure is a document too', () => {
  it.each([
    ['an unknown command', 'dguard', 2, ['frobnicate']],
    ['no command', 'dguard', 2, []],
    ['no subcommand', 'config', 2, ['config']],
    ['an unknown option', 'backup', 2, ['backup', '--nonsense']],
    ['a missing argument', 'show', 2, ['show']],
    ['a choice that is none', 'verify', 2, ['verify', '--level', 'deep']],
    ['garbage for a number', 'list', 2, ['list', '--limit', 'many']],
    ['more connections than a job may have', 'restore', 2, ['restore', JOB, '--parallel-jobs', '257']],
    ['zero for a number', 'verify', 2, ['verify', '--newest', '0']],
    ['more than everything', 'verify', 2, ['verify', '--sample', '101%']],
    ['options that exclude each other', 'verify', 2, ['verify', '--all', '--newest', '2']],
    ['garbage for a time', 'list', 2, ['list', '--since', 'yesterday']],
    ['garbage for the time of a restore', 'restore', 2, ['restore', JOB, '--at', 'noon']],
    ['no job', 'backup', 2, ['backup']],
    ['an unknown job', 'backup', 2, ['backup', 'nope']],
    ['an unknown job to list', 'list', 2, ['list', 'nope']],
    ['an unknown id to show', 'show', 2, ['show', 'nope']],
    ['an unknown id to list', 'ls', 2, ['ls', 'nope']],
    ['an unknown id to compare', 'diff', 2, ['diff', 'nope', 'nope']],
    ['an unknown name to restore', 'restore', 2, ['restore', 'nope']],
    ['an unknown name to verify', 'verify', 2, ['verify', 'nope']],
    ['an unknown id to delete', 'delete', 2, ['delete', 'nope', '--yes']],
    ['a delete without a yes', 'delete', 2, ['delete', 'full', '--from', './backups']],
    ['an unknown destination', 'list', 2, ['list', '--from', 'nowhere']],
    ['a folder that is not there', 'list', 2, ['list', '--from', './nowhere']],
    ['a configuration that is not there', 'config validate', 2, ['config', 'validate', '-c', './none.yaml']],
    ['a configuration that is not there, to show', 'config show', 2, ['config', 'show', '-c', './none.yaml']],
    ['a shell that is not known', 'completion', 2, ['completion', 'tcsh']],
    ['nothing good not after that', 'restore', 6, ['restore', JOB, '--at', '2001-01-01', '--to-path', './x']],
    ['nothing there', 'list', 6, ['list', JOB, '--from', './empty']],
  ])('%s', async (_, command, code, args) => {
    mkdirSync(place.path('empty'), { recursive: true });
    const { document, lines } = await run(command, code, ...args);
    expect(document['errors']!.length).toBeGreaterThan(0);
    expect(lines).toContainEqual(expect.objectContaining({ type: 'log', level: 'error' }));
  });

  it('a bad configuration: every problem with its line', async () => {
    place.write('bad.yaml', 'version: 1\njobs: { j: { datasources: [x], destinatons: [y] } }\n');
    const { document } = await run('config validate', 2, 'config', 'validate', '-c', 'bad.yaml');
    expect((document['problems'] as object[]).length).toBeGreaterThan(1);
    expect(document['errors']).toHaveLength(1);
    await run('backup', 2, 'backup', 'j', '-c', 'bad.yaml');
  });

  it('a source that is gone: exit 1, and what failed on what', async () => {
    place.write(
      'gone.yaml',
      'version: 1\ndatasources: { gone: { type: files, source_path: ./gone } }\n' +
        `destinations: { there: { type: local, path: ./other } }\njobs: { ${JOB}-gone: { datasources: [gone], destinations: [there] } }\n`,
    );
    const { document } = await run('backup', 1, 'backup', `${JOB}-gone`, '-c', 'gone.yaml');
    expect(document['errors']).toMatchObject([{ subject: expect.stringContaining('gone') }]);
  });

  it('bad bytes: verify and restore exit 4', async () => {
    const folder = place.path('backups', JOB, 'files', ids[1]!);
    appendFileSync(join(folder, 'files.tar.zst'), 'x');
    const { document } = await run('verify', 4, 'verify', ids[1]!);
    expect(document['checks']).toMatchObject([{ id: ids[1], overall: 'fail' }]);
    await run('restore', 4, 'restore', ids[1]!, '--to-path', './never');
    const { document: listed } = await run('list', 0, 'list', '--status', 'broken');
    expect(listed['backups']).toHaveLength(1);
  });

  it('a damaged manifest: list says so, show and ls exit 4', async () => {
    writeFileSync(place.path('backups', JOB, 'files', ids[0]!, 'manifest.json'), '{"format":1');
    const { document } = await run('list', 0, 'list', '--status', 'damaged');
    expect(document['backups']).toHaveLength(1);
    await run('ls', 4, 'ls', ids[0]!);
    await run('verify', 4, 'verify', ids[0]!);
  });
});
