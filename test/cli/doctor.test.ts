import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { beginSwap, createUnit, endRevert } from '../../src/engines/undo/unit.ts';
import { parseDocument } from './documents.ts';
import { workspace } from './support.ts';
import type { FindingJson } from './support-doctor.ts';

const JOB = `doctor-${process.pid}`;
const place = workspace();
afterAll(() => place.remove());

beforeAll(() => {
  mkdirSync(place.path('src'));
  writeFileSync(place.path('src/a.txt'), 'a');
  new Database(place.path('shop.db')).exec('CREATE TABLE t (n); INSERT INTO t VALUES (1)').close();
  place.write('password', 'a secret of the test', 0o644);
  place.config({
    datasources: {
      files: { type: 'files', source_path: './src' },
      shop: { type: 'sqlite', file_path: './shop.db' },
      far: {
        type: 'postgres',
        host: '127.0.0.1',
        port: 1,
        username: 'u',
        password_file: './password',
        database: 'd',
      },
    },
    destinations: {
      here: { type: 'local', path: './backups' },
      away: { type: 'local', path: './away', must_be_mounted: true, optional: true },
    },
    jobs: { [JOB]: { datasources: ['files', 'shop'], destinations: ['here'] } },
  });
});

async function doctor(code: number, ...args: string[]) {
  const outcome = await place.run('doctor', ...args, '--json');
  expect(outcome.code, outcome.stdout + outcome.stderr).toBe(code);
  const document = parseDocument('doctor', outcome.stdout) as unknown as {
    findings: FindingJson[];
    looked_at: string[];
    errors: { code: string; subject: string }[];
  };
  return document;
}

describe('doctor', () => {
  it('of a job that is well: notices at most, exit 0', async () => {
    const { findings, looked_at, errors } = await doctor(0, JOB);
    expect(looked_at).toEqual(['files', 'shop', 'here']);
    expect(errors).toEqual([]);
    expect(findings.filter(({ severity, kind }) => severity !== 'notice' && kind !== 'config')).toEqual([]);
    // Both copies on one disk are one copy, as far as the disk goes.
    expect(findings).toContainEqual(
      expect.objectContaining({ kind: 'host', message: expect.stringMatching(/one broken disk takes both/) }),
    );
  });

  it('of everything: problems first, exit 1; what is optional is a warning', async () => {
    const { findings, errors } = await doctor(1);
    expect(findings[0]).toMatchObject({ severity: 'problem', name: 'far', topic: 'connection' });
    expect(findings).toContainEqual(expect.objectContaining({ severity: 'warning', name: 'away' }));
    expect(errors).toMatchObject([{ code: 'source_failed', subject: 'far' }]);
  });

  it('a secret file that anyone can read, a configuration that its group may write: chmod', async () => {
    chmodSync(place.path('backup.yaml'), 0o660);
    const { findings } = await doctor(0, JOB);
    const fixes = findings.filter(({ kind }) => kind === 'config').map(({ fix }) => fix);
    expect(fixes).toEqual([
      { by: 'shell', database: null, lines: [`chmod go-w ${place.path('backup.yaml')}`] },
      { by: 'shell', database: null, lines: [`chmod o-r ${place.path('password')}`] },
    ]);
    chmodSync(place.path('backup.yaml'), 0o600);
    chmodSync(place.path('password'), 0o600);
    expect((await doctor(0, JOB)).findings.filter(({ kind }) => kind === 'config')).toEqual([]);
  });

  it('a restore that was cut short in the middle is a problem, and the printed command ends it', async () => {
    const target = { path: place.path('src'), place: 'beside' } as const;
    const unit = createUnit([target], 'full-2026-01-02T03-04-05Z-abcdefgh', new Date());
    const interrupted = async () =>
      (await place.json('doctor', JOB)).document as unknown as { findings: FindingJson[] };
    const left = async () =>
      (await interrupted()).findings.filter(({ topic, name }) => topic === 'leftovers' && name === 'files');
    expect(await left()).toMatchObject([{ severity: 'warning' }]);
    beginSwap(unit, 'swapping', new Date());
    const [problem] = await left();
    expect(problem).toMatchObject({ severity: 'problem', subject: unit.members[0]!.folder });
    expect(problem!.fix!.lines).toEqual([`dguard restore ${JOB} --recover`]);
    // Nothing was moved yet: without its journal it is what a restore had prepared, and goes.
    endRevert(unit, 'swapping');
    expect((await place.run(...problem!.fix!.lines[0]!.split(' ').slice(1))).code).toBe(0);
    expect(await left()).toEqual([]);
  });

  it('prints what to run, and how much it found', async () => {
    chmodSync(place.path('password'), 0o644);
    const { stdout } = await place.run('doctor', JOB);
    expect(stdout).toContain(`    chmod o-r ${place.path('password')}`);
    expect(stdout).toMatch(/3 looked at: 0 problems, 1 warnings, \d+ notices\n$/);
    expect(stdout).not.toContain('a secret of the test');
  });

  it('a name that nothing has is a usage error', async () => {
    expect((await place.run('doctor', 'nobody')).code).toBe(2);
  });

  it('changes nothing at a destination that nobody has written to', async () => {
    rmSync(place.path('backups'), { recursive: true, force: true });
    await doctor(0, 'here');
    expect((await place.run('list', '--from', './backups')).code, 'no such folder').toBe(2);
  });
});
