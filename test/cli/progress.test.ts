import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { activityLine, trackActivities } from '../../src/cli/render/activity.ts';
import { DGUARD, workspace } from './support.ts';

describe('what goes on', () => {
  const MIB = 1024 * 1024;
  function tracked() {
    let nowMs = 1_000_000;
    const activities = trackActivities(() => nowMs);
    return { ...activities, wait: (ms: number) => (nowMs += ms) };
  }

  it('the rate and the time are those of the stage, the rest follows from the size', () => {
    const work = tracked();
    work.take({ type: 'stage', subject: 'db', stage: 'prepare' });
    work.wait(60_000);
    work.take({ type: 'stage', subject: 'db', stage: 'dump', totalBytes: 100 * MIB });
    work.wait(10_000);
    work.take({ type: 'progress', subject: 'db', bytesDone: 20 * MIB, filesDone: 3 });
    expect(work.list()[0]).toMatchObject({ elapsedMs: 10_000, bytesPerSecond: 2 * MIB, etaMs: 40_000 });
    expect(activityLine(work.list(), 200)).toBe(
      'db: dump, 20.0 MiB of 100.0 MiB, 3 files, 2.0 MiB/s, 10.0 s, ETA 40.0 s',
    );
  });

  it('a size that was guessed too small promises nothing', () => {
    const work = tracked();
    work.take({ type: 'stage', subject: 'db', stage: 'dump', totalBytes: MIB });
    work.wait(1000);
    work.take({ type: 'progress', subject: 'db', bytesDone: 2 * MIB });
    expect(work.list()[0]!.etaMs).toBeUndefined();
    expect(activityLine(work.list(), 200)).toBe('db: dump, 2.0 MiB, 2.0 MiB/s, 1.0 s');
  });

  it('several at once share one line that fits, and leave it when they are done', () => {
    const work = tracked();
    for (const subject of ['db', 'files']) {
      work.take({ type: 'stage', job: 'j', subject, stage: 'dump' });
      work.wait(1000);
      work.take({ type: 'progress', job: 'j', subject, bytesDone: MIB });
    }
    expect(activityLine(work.list(), 200)).toBe(
      'db: dump 1.0 MiB 512.0 KiB/s | files: dump 1.0 MiB 1.0 MiB/s',
    );
    expect(activityLine(work.list(), 30)).toHaveLength(30);
    work.take({ type: 'done', job: 'j', subject: 'db', outcome: 'completed' });
    expect(activityLine(work.list(), 200)).toMatch(/^files: dump, /);
    work.take({ type: 'done', job: 'j', subject: 'files', outcome: 'completed' });
    expect(activityLine(work.list(), 200)).toBe('');
  });

  it('a name cannot steer the terminal', () => {
    const work = tracked();
    work.take({ type: 'stage', subject: '\u001b[2J\ndb', stage: 'dump' });
    expect(activityLine(work.list(), 200)).not.toMatch(/[\u001b\n]/);
  });
});

describe('escape codes', () => {
  const place = workspace();
  afterAll(() => place.remove());
  const job = `progress-${process.pid}`;
  mkdirSync(place.path('src'));
  for (let i = 0; i < 400; i++) writeFileSync(place.path('src', `f${i}`), `${i}`.repeat(1000));
  place.config({
    datasources: {
      one: { type: 'files', source_path: './src' },
      two: { type: 'files', source_path: './src' },
    },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { [job]: { datasources: ['one', 'two'], destinations: ['here'] } },
  });
  const hasScript = spawnSync('script', ['--version']).status === 0;

  /** Runs on a terminal of its own (util-linux `script`); all that it wrote there. */
  function onTerminal(args: string, env: Record<string, string> = {}, columns = 100): string {
    const command = `stty cols ${columns} rows 30; "${process.execPath}" "${DGUARD}" ${args}`;
    const { NO_COLOR: _, CI: __, ...rest } = process.env;
    const options = {
      timeout: 60_000,
      cwd: place.folder,
      env: { ...rest, TERM: 'xterm', ...env },
      input: '',
    };
    return spawnSync('script', ['-qec', command, '/dev/null'], options).stdout.toString();
  }

  it.runIf(hasScript)('a terminal gets a spinner, and nothing of it stays', () => {
    const text = onTerminal(`backup ${job}`);
    expect(text).toContain('\u001b[');
    expect(text).toContain('one: completed');
    expect(text.lastIndexOf('\u001b[?25h')).toBeGreaterThanOrEqual(text.lastIndexOf('\u001b[?25l'));
  });

  it.runIf(hasScript).each([
    ['--no-color', `backup ${job} --no-color`, {}],
    ['NO_COLOR', `backup ${job}`, { NO_COLOR: '1' }],
    ['TERM=dumb', `backup ${job}`, { TERM: 'dumb' }],
    ['CI set', `backup ${job}`, { CI: 'true' }],
    ['--json', `backup ${job} --json`, {}],
    ['--no-color, a table', 'list --no-color', {}],
    ['--no-color, an error', 'backup nope --no-color', {}],
    ['--no-color, help', 'backup --help --no-color', {}],
  ])('none on a terminal with %s', (_, args, env) => {
    const text = onTerminal(args, env);
    expect(text.length).toBeGreaterThan(20);
    expect(text).not.toContain('\u001b');
  });

  it.runIf(hasScript)('none on a terminal that does not know its width', () => {
    const text = onTerminal(`backup ${job}`, {}, 0);
    expect(text).toContain('one: completed');
    expect(text).not.toContain('\u001b');
  });

  it('none in a pipe; short work says nothing on stderr', async () => {
    const run = await place.run('backup', job);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout + run.stderr).not.toContain('\u001b');
    expect(run.stderr).toBe('');
  });
});

describe('a reader that goes away', () => {
  const place = workspace();
  afterAll(() => place.remove());
  const job = `reader-${process.pid}`;
  mkdirSync(place.path('src'));
  writeFileSync(place.path('src/large'), Buffer.alloc(8 * 1024 * 1024, 'line\n'));
  place.config({
    datasources: { files: { type: 'files', source_path: './src' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { [job]: { datasources: ['files'], destinations: ['here'] } },
  });
  const sh = (script: string) =>
    spawnSync(
      'bash',
      ['-c', `set -o pipefail; dguard() { "${process.execPath}" "${DGUARD}" "$@"; }; ${script}`],
      {
        cwd: place.folder,
        timeout: 60_000,
      },
    );

  it('neither stops a backup nor hides how a command ended', async () => {
    expect(sh(`dguard backup ${job} --json 2>&1 | head -c 1`).status).toBe(0);
    const [backup] = await place.listed();
    expect(backup!.computed.good).toBe(true);
    expect(sh('dguard show nope | true').status).toBe(2);
  });

  it('ends cat at once, without a complaint', async () => {
    const [backup] = await place.listed();
    const run = sh(`dguard cat ${backup!.id} large | head -n 1`);
    expect([run.status, run.stdout.toString(), run.stderr.toString()]).toEqual([0, 'line\n', '']);
  });
});
