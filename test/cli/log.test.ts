import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { createLog } from '../../src/cli/log.ts';
import { Secret } from '../../src/config/secret.ts';
import { workspace } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'dguard-log-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const record = z.strictObject({
  time: z.iso.datetime(),
  level: z.enum(['debug', 'info', 'warning', 'error']),
  job: z.string().optional(),
  subject: z.string().optional(),
  run_id: z.string().optional(),
  message: z.string(),
  data: z.record(z.string(), z.unknown()).optional(),
});
const readLog = (path: string) =>
  readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => record.parse(JSON.parse(line)));

describe('the log', () => {
  const open = (name: string, options: { at?: Date; timeZone?: string } = {}) => {
    const warnings: string[] = [];
    let at = options.at ?? new Date('2026-03-01T12:00:00Z');
    const log = createLog({
      folder: join(folder, name),
      now: () => at,
      timeZone: options.timeZone ?? 'UTC',
      warn: (message) => warnings.push(message),
    });
    const setNow = (text: string) => {
      at = new Date(text);
    };
    return { log, warnings, setNow, path: (file: string) => join(folder, name, file) };
  };

  it('is one file per job and day, the day of the time zone, only for its owner', () => {
    const { log, setNow, path } = open('days', { timeZone: 'America/Sao_Paulo' });
    setNow('2026-03-02T02:59:59Z');
    log.write({ level: 'info', job: 'prod', message: 'late' });
    setNow('2026-03-02T03:00:00Z');
    log.write({ level: 'info', job: 'prod', message: 'early' });
    log.write({ level: 'info', message: 'of no job' });
    log.setTimeZone('UTC');
    setNow('2026-03-03T00:00:00Z');
    log.write({ level: 'info', job: 'prod', message: 'other zone' });
    log.close();
    const names = [
      'dguard_2026-03-02.log',
      'prod_2026-03-01.log',
      'prod_2026-03-02.log',
      'prod_2026-03-03.log',
    ];
    expect(readdirSync(join(folder, 'days')).sort()).toEqual(names);
    expect(statSync(path(names[0]!)).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'days')).mode & 0o777).toBe(0o700);
    expect(readLog(path('prod_2026-03-02.log'))).toEqual([
      { time: '2026-03-02T03:00:00.000Z', level: 'info', job: 'prod', message: 'early' },
    ]);
  });

  it('appends, and carries the id of a run once it was told', () => {
    for (const id of ['one', 'two']) {
      const { log } = open('append');
      log.event({ type: 'stage', job: 'j', subject: 'db', stage: 'dump', totalBytes: 7 });
      log.event({ type: 'log', level: 'info', job: 'j', message: 'run begins', data: { run_id: id } });
      log.event({ type: 'progress', job: 'j', subject: 'db', bytesDone: 7 });
      log.event({ type: 'done', job: 'j', subject: 'db', outcome: 'failed' });
      log.close();
    }
    const records = readLog(join(folder, 'append/j_2026-03-01.log'));
    expect(records.map(({ run_id }) => run_id)).toEqual([undefined, 'one', 'one', undefined, 'two', 'two']);
    expect(records[0]).toMatchObject({ subject: 'db', message: 'begin: dump', data: { total_bytes: 7 } });
    expect(records[2]).toMatchObject({ level: 'error', message: 'done: failed' });
  });

  it('holds no secret, in texts and in data', () => {
    new Secret('tr0ub4dor"\\&3');
    const { log, path } = open('secret');
    const said = 'password tr0ub4dor"\\&3 refused';
    log.write({
      level: 'error',
      job: 'j',
      subject: said,
      message: said,
      data: { deep: [{ said }], big: 1n },
    });
    log.close();
    expect(readFileSync(path('j_2026-03-01.log'), 'utf8')).not.toContain('tr0ub4dor');
    expect(readLog(path('j_2026-03-01.log'))[0]!.data).toEqual({
      deep: [{ said: 'password [redacted] refused' }],
      big: '1',
    });
  });

  it("a job's name never leads out of the folder", () => {
    const { log } = open('names');
    log.write({ level: 'info', job: '../../escape', message: 'x' });
    log.close();
    expect(readdirSync(join(folder, 'names'))).toEqual(['..%2F..%2Fescape_2026-03-01.log']);
  });

  it('a link in the place of a log is not followed; one warning ends the log', () => {
    mkdirSync(join(folder, 'linked'));
    writeFileSync(join(folder, 'victim'), 'mine');
    symlinkSync(join(folder, 'victim'), join(folder, 'linked/j_2026-03-01.log'));
    const { log, warnings } = open('linked');
    log.write({ level: 'info', job: 'j', message: 'x' });
    log.write({ level: 'info', job: 'j', message: 'y' });
    log.close();
    expect(readFileSync(join(folder, 'victim'), 'utf8')).toBe('mine');
    expect(warnings).toHaveLength(1);
  });
});

describe('--log-dir', () => {
  const SECRET_URL = 'http://127.0.0.1:9/s3cr3t-word';
  const place = workspace();
  afterAll(() => place.remove());
  const job = `log-${process.pid}`;
  mkdirSync(place.path('src'));
  writeFileSync(place.path('src/a'), 'a');
  place.config({
    datasources: { files: { type: 'files', source_path: './src' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: {
      [job]: { datasources: ['files'], destinations: ['here'], hooks: { after: 'cat said >&2; exit 3' } },
    },
    notifications: { n: { type: 'webhook', url: SECRET_URL } },
  });
  place.write('said', `refused by ${SECRET_URL}`);
  const logs = () => readdirSync(place.path('logs')).flatMap((name) => readLog(place.path('logs', name)));

  it('tells the stages and the outcome of a backup, and of a command that fails', async () => {
    expect((await place.run('backup', job, '--log-dir', './logs')).code).toBe(0);
    const [name] = readdirSync(place.path('logs')).filter((each) => each.startsWith(job));
    const ofJob = readLog(place.path('logs', name!));
    expect(ofJob.map(({ message }) => message)).toEqual(
      expect.arrayContaining(['begin: prepare', 'begin: dump', 'begin: finish', 'done: completed']),
    );
    expect(ofJob.at(-1)).toMatchObject({ message: 'backup: exit 0', data: { exit_code: 0 } });
    expect((await place.run('backup', 'nope', '--log-dir', './logs')).code).toBe(2);
    expect(logs()).toContainEqual(
      expect.objectContaining({
        level: 'error',
        subject: 'nope',
        data: expect.objectContaining({ code: 'unknown_name' }),
      }),
    );
  });

  it('that cannot be written is one warning, and the backup is made', async () => {
    writeFileSync(place.path('occupied'), '');
    const run = await place.run('backup', job, '--log-dir', './occupied');
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr.match(/warning: nothing more is logged/g)).toHaveLength(1);
  });

  it('what a hook says of a secret reaches neither the log nor the terminal', async () => {
    const run = await place.run('backup', job, '--log-dir', './logs', '-v');
    expect(run.stderr).toContain('the after hook failed');
    expect(run.stderr).toContain('refused by [redacted]');
    const everything = run.stderr + run.stdout + JSON.stringify(logs());
    expect(everything).not.toContain('s3cr3t-word');
  });
});
