import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseDocument } from './documents.ts';
import { isRoot, NOBODY, runDguard, snapshotOf, workspace } from './support.ts';

const JOB = `check-${process.pid}`;
const place = workspace();
afterAll(() => place.remove());

beforeAll(() => {
  mkdirSync(place.path('src'));
  writeFileSync(place.path('src/a.txt'), 'a');
  place.config({
    datasources: {
      files: { type: 'files', source_path: './src' },
      gone: { type: 'files', source_path: './nothing-there' },
    },
    destinations: {
      here: { type: 'local', path: './new/backups' },
      unmounted: { type: 'local', path: './disk', must_be_mounted: true },
      away: { type: 'local', path: './away', must_be_mounted: true, optional: true },
      small: { type: 'local', path: './small', max_size_gb: 0.0001 },
    },
    jobs: { [JOB]: { datasources: ['files'], destinations: ['here'] } },
  });
});

interface Row {
  name: string;
  status: string;
  message: string | null;
  free_bytes?: number | null;
  round_trip_ms?: number | null;
}

async function check(code: number, ...args: string[]) {
  const outcome = await place.run('check', ...args, '--json');
  expect(outcome.code, outcome.stdout + outcome.stderr).toBe(code);
  const document = parseDocument('check', outcome.stdout) as unknown as {
    datasources: Row[];
    destinations: Row[];
    errors: { code: string; subject: string }[];
  };
  const rows = new Map([...document.datasources, ...document.destinations].map((row) => [row.name, row]));
  return { rows, document };
}

describe('check', () => {
  it('of a job: its datasources and destinations, and nothing is left behind', async () => {
    const { rows } = await check(0, JOB);
    expect([...rows.keys()]).toEqual(['files', 'here']);
    expect(rows.get('files')).toMatchObject({ status: 'ok', message: null });
    expect(rows.get('here')).toMatchObject({ status: 'healthy', message: null });
    expect(rows.get('here')!.free_bytes).toBeGreaterThan(0);
    expect(rows.get('here')!.round_trip_ms).toBeGreaterThanOrEqual(0);
    expect(existsSync(place.path('new')), 'the folder that only the check needed').toBe(false);
  });

  it('leaves a destination that is in use byte for byte as it was', async () => {
    expect((await place.run('backup', JOB)).code).toBe(0);
    const before = snapshotOf(place.path('new'));
    await check(0, 'here');
    expect(snapshotOf(place.path('new'))).toEqual(before);
    expect(readdirSync(place.path('new/backups'))).toEqual([JOB]);
    rmSync(place.path('new'), { recursive: true });
  });

  it('of everything: some well, some not is 3; each says what it is', async () => {
    const { rows, document } = await check(3);
    expect(rows.get('files')!.status).toBe('ok');
    expect(rows.get('gone')).toMatchObject({
      status: 'error',
      message: expect.stringMatching(/does not exist/),
    });
    expect(rows.get('unmounted')).toMatchObject({
      status: 'unreachable',
      message: expect.stringMatching(/not mounted/),
    });
    expect(rows.get('small')).toMatchObject({ status: 'full' });
    expect(document.errors.map(({ subject }) => subject).sort()).toEqual([
      'away',
      'gone',
      'small',
      'unmounted',
    ]);
    expect(existsSync(place.path('disk')), 'nothing is made where a mount is missing').toBe(false);
  });

  it.each([
    [1, ['gone', 'unmounted']],
    [75, ['files', 'away']],
    [75, ['away']],
    [3, ['files', 'away', 'gone']],
    [2, ['nobody']],
  ])('exits %i for %j', async (code, names) => {
    const outcome = await place.run('check', ...names);
    expect(outcome.code, outcome.stderr).toBe(code);
    if (code === 2)
      expect(outcome.stderr).toMatch(
        /no datasource, destination or job nobody[\s\S]*datasources: files, gone/,
      );
  });

  it('prints a table that names every status', async () => {
    const outcome = await place.run('check');
    for (const word of ['files', 'ok', 'healthy', 'full', 'unreachable'])
      expect(outcome.stdout).toContain(word);
    expect(outcome.stderr).toMatch(/error: check unmounted: /);
  });

  it.runIf(isRoot)('a destination that may not be written is unreachable, and says why', async () => {
    mkdirSync(place.path('locked'), { mode: 0o755 });
    chmodSync(place.folder, 0o755);
    const config = place.write(
      'locked.yaml',
      JSON.stringify({
        version: 1,
        datasources: {},
        destinations: { locked: { type: 'local', path: place.path('locked') } },
        jobs: {},
      }),
      0o644,
    );
    const outcome = await runDguard(['check', '-c', config, '--json'], { cwd: place.folder, uid: NOBODY });
    expect(outcome.code, outcome.stderr).toBe(1);
    const document = parseDocument('check', outcome.stdout) as unknown as { destinations: Row[] };
    expect(document.destinations[0]).toMatchObject({
      status: 'unreachable',
      message: expect.stringMatching(/EACCES|permission/i),
    });
  });

  it('several silent servers at once take one time limit, not its sum', async () => {
    // Accepts connections and never says a word. Who waits for one answer after the other is never here with four.
    let open = 0;
    let atOnce = 0;
    const silent = createServer((socket) => {
      atOnce = Math.max(atOnce, ++open);
      socket.on('error', () => undefined).on('close', () => open--);
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const base = { host: '127.0.0.1', port, username: 'u', password: 'x', database: 'd' };
    place.write(
      'silent.yaml',
      JSON.stringify({
        version: 1,
        datasources: Object.fromEntries(
          ['postgres', 'mysql', 'postgres', 'mysql'].map((type, at) => [`s${at}`, { type, ...base }]),
        ),
        destinations: {},
        jobs: {},
      }),
    );
    const outcome = await place.run('check', '-c', 'silent.yaml', '--timeout', '1s', '--json');
    expect(atOnce).toBe(4);
    expect(outcome.code).toBe(1);
    const document = parseDocument('check', outcome.stdout) as unknown as {
      datasources: Row[];
      errors: { code: string }[];
    };
    expect(document.datasources.map(({ status }) => status)).toEqual(Array(4).fill('timeout'));
    expect(document.errors.map(({ code }) => code)).toEqual(Array(4).fill('timeout'));
    silent.close();
  });

  it('a server that breaks the connection off: what broke is said, not the bare word of the socket', async () => {
    const rude = createServer((socket) => {
      // PostgreSQL's client speaks first, MySQL's waits for the server's first word.
      socket.on('error', () => undefined).on('data', () => socket.resetAndDestroy());
      socket.setTimeout(200, () => socket.resetAndDestroy());
    });
    await new Promise<void>((resolve) => rude.listen(0, '127.0.0.1', resolve));
    const { port } = rude.address() as { port: number };
    const base = { host: '127.0.0.1', port, username: 'u', password: 'x', database: 'd' };
    const types = ['postgres', 'mysql'];
    const datasources = Object.fromEntries(types.map((type) => [type, { type, ...base }]));
    place.write('rude.yaml', JSON.stringify({ version: 1, datasources, destinations: {}, jobs: {} }));
    const outcome = await place.run('check', '-c', 'rude.yaml', '--timeout', '10s', '--json');
    rude.close();
    expect(outcome.code).toBe(1);
    const { datasources: rows } = parseDocument('check', outcome.stdout) as unknown as { datasources: Row[] };
    expect(rows).toHaveLength(2);
    for (const { name, status, message } of rows) {
      expect(status, `${name}: ${message}`).toBe('unreachable');
      expect(message, name).toMatch(/connection .*(?:broke|lost|closed|terminated)|127\.0\.0\.1:/i);
    }
  });
});
