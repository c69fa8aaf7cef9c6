import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { isRoot, type Outcome, runDguard, startDguard } from '../../cli/support.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, makeBench } from './support.ts';

describeWithPostgres(17, 'postgres: runs that fail, through the whole program', (server) => {
  let bench: Bench;
  let folder: string;
  let before: Map<string, string>;
  const run = (...args: string[]): Promise<Outcome> => runDguard(args, { cwd: folder });

  /** Every file at the destination, with its size and time. */
  const stored = () =>
    new Map(
      filesBelow(join(folder, 'nas')).map((path) => {
        const { size, mtimeMs } = statSync(path);
        return [path, `${size} ${mtimeMs}`];
      }),
    );
  /** A failed run: its exit code, a manifest that says so, and nothing else that is new, changed or gone. */
  const expectFailed = async (outcome: Outcome, says: RegExp) => {
    expect(outcome.code, outcome.stderr).toBe(1);
    expect(outcome.stderr).toMatch(says);
    expect(outcome.stderr + outcome.stdout).not.toContain(server().password);
    const after = stored();
    for (const [path, was] of before) expect(after.get(path), path).toBe(was);
    // The lease of a run stays until prune sweeps it.
    const added = [...after.keys()].filter((path) => !before.has(path) && !/lease-\d+\.json$/.test(path));
    expect(added, added.join(' ')).toHaveLength(1);
    const manifest = JSON.parse(readFileSync(added[0]!, 'utf8'));
    expect(manifest).toMatchObject({ status: 'failed' });
    expect(JSON.stringify(manifest)).toMatch(says);
    expect(readdirSync(join(folder, 'temp'))).toEqual([]);
    rmSync(dirname(added[0]!), { recursive: true });
  };

  beforeAll(async () => {
    bench = await makeBench(server());
    folder = mkdtempSync(join(tmpdir(), 'dguard-pg-failures-'));
    for (const name of ['temp', 'small']) mkdirSync(join(folder, name), { mode: 0o700 });
    // Small on the server's disk, large in a dump.
    await bench.database(
      'app',
      `CREATE TABLE t (n int, f text); INSERT INTO t SELECT g, repeat(md5(g::text), 3000) FROM generate_series(1, 1000) g`,
    );
    await bench.sql('postgres', "CREATE ROLE fickle SUPERUSER LOGIN PASSWORD 'pw of fickle'");
    const { host, port, user, password, bin } = server();
    writeFileSync(join(folder, 'password'), `${password}\n`, { mode: 0o600 });
    writeFileSync(join(folder, 'fickle'), 'pw of fickle\n', { mode: 0o600 });
    const base = `type: postgres, host: ${host}, port: ${port}, client_path: ['${bin}'], database: app`;
    const config = (tempDir: string) => `version: 1
defaults: { temp_dir: ${tempDir} }
datasources:
  app: { ${base}, username: ${user}, password_file: ${folder}/password }
  fickle: { ${base}, username: fickle, password_file: ${folder}/fickle }
destinations:
  nas: { type: local, path: ${folder}/nas }
jobs:
  app: { datasources: [app], destinations: [nas] }
  fickle: { datasources: [fickle], destinations: [nas] }
  parallel: { datasources: [app], destinations: [nas], options: { parallel_jobs: 2 } }
`;
    writeFileSync(join(folder, 'backup.yaml'), config(join(folder, 'temp')), { mode: 0o600 });
    writeFileSync(join(folder, 'small.yaml'), config(join(folder, 'small')), { mode: 0o600 });
    for (const job of ['app', 'fickle', 'parallel'])
      expect(await run('backup', job)).toMatchObject({ code: 0 });
  });
  beforeEach(() => {
    before = stored();
  });
  afterAll(async () => {
    await bench?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A backup during which something is done once pg_dump works. */
  const during = async (job: string, action: (pgDump: number) => unknown): Promise<Outcome> => {
    const { child, ended } = startDguard(['backup', job], { cwd: folder });
    let found: number | undefined;
    while (found === undefined && child.exitCode === null) {
      found = childNamed(child.pid!, 'pg_dump');
      if (found === undefined) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(found).toBeDefined();
    await action(found!);
    return await ended;
  };

  it('pg_dump is killed', async () => {
    const outcome = await during('app', (pid) => {
      process.kill(pid, 'SIGSTOP');
      process.kill(pid, 'SIGKILL');
    });
    await expectFailed(outcome, /pg_dump: killed by SIGKILL/);
  });

  it('the password is another one since', async () => {
    await bench.sql('postgres', "ALTER ROLE fickle PASSWORD 'changed'");
    await expectFailed(await run('backup', 'fickle'), /password authentication failed/);
  });

  it('the server stops in the middle', async () => {
    await bench.sql('app', 'CHECKPOINT');
    const outcome = await during('app', () => server().halt('SIGQUIT'));
    await server().resume();
    await expectFailed(outcome, /pg_dump|[Cc]onnection|server/);
  });

  it.skipIf(!isRoot)(
    'temp_dir has no room for a parallel dump, from the start or in the middle',
    async () => {
      for (const [size, says] of [
        ['1m', /a parallel dump needs up to \d+ bytes/],
        ['40m', /No space left on device/],
      ] as const) {
        execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'none', join(folder, 'small')]);
        try {
          const outcome = await run('backup', 'parallel', '-c', 'small.yaml');
          await expectFailed(outcome, says);
          expect(readdirSync(join(folder, 'small'))).toEqual([]);
          expect(outcome.stderr).toContain('temp_dir');
        } finally {
          execFileSync('umount', [join(folder, 'small')]);
        }
      }
    },
  );

  it('no password is in any process, log or file but the 0600 one of a client, while dguard works', async () => {
    const secret = server().password;
    const look = () => {
      for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
        for (const file of ['cmdline', 'environ']) {
          expect(contents(`/proc/${pid}/${file}`).includes(secret), `${pid}/${file}`).toBe(false);
        }
      }
      for (const path of filesBelow(join(folder, 'temp'))) {
        // In a password file a colon and a backslash are escaped.
        const text = contents(path);
        if (!text.includes(secret) && !text.includes(secret.replace(/[\\:]/g, '\\$&'))) continue;
        expect(path).toMatch(/\/pgpass-[0-9a-f]+$/);
        const [file, above] = [path, dirname(path)].map((each) => statSync(each, { throwIfNoEntry: false }));
        if (!file || !above) continue; // gone meanwhile
        expect([file.mode & 0o777, above.mode & 0o777]).toEqual([0o600, 0o700]);
        passfiles++;
      }
    };
    let passfiles = 0;
    for (const args of [
      ['backup', 'app', '-v', '--log-dir', 'logs'],
      ['verify', 'app', '--level', 'restore', '-v', '--log-dir', 'logs'],
      ['restore', 'app', '--to-database', 'copy', '-v', '--log-dir', 'logs'],
    ]) {
      const { child, ended } = startDguard(args, { cwd: folder });
      passfiles = 0;
      while (child.exitCode === null) {
        look();
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      const outcome = await ended;
      expect(outcome, outcome.stderr).toMatchObject({ code: 0 });
      expect(outcome.stdout + outcome.stderr).not.toContain(secret);
      // It was there while it was needed.
      expect(passfiles, args.join(' ')).toBeGreaterThan(0);
    }
    expect(filesBelow(join(folder, 'logs')).length).toBeGreaterThan(0);
    for (const path of filesBelow(folder)) {
      if (path !== join(folder, 'password')) expect(contents(path).includes(secret), path).toBe(false);
    }
    expect(readdirSync(join(folder, 'temp'))).toEqual([]);
  });
});

function filesBelow(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
      // A pipe to pg_restore: who reads it takes what is in it.
      if (entry.isFIFO()) return [];
      return entry.isDirectory() ? filesBelow(join(folder, entry.name)) : [join(folder, entry.name)];
    });
  } catch {
    // Gone meanwhile.
    return [];
  }
}

function contents(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function childNamed(parent: number, name: string): number | undefined {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .find((pid) => {
      const status = contents(`/proc/${pid}/status`);
      const ours = status.startsWith(`Name:\t${name}\n`) && status.includes(`\nPPid:\t${parent}\n`);
      // Not the one that was asked for its version.
      return ours && contents(`/proc/${pid}/cmdline`).includes('--snapshot=');
    });
}
