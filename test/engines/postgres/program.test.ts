import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Outcome, runDguard, startDguard } from '../../cli/support.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, makeBench } from './support.ts';

describeWithPostgres(17, 'postgres: through the whole program', (server) => {
  let bench: Bench;
  let folder: string;
  const run = (...args: string[]): Promise<Outcome> => runDguard(args, { cwd: folder });
  const rows = async (database = 'app') =>
    (await bench.sql(database, 'SELECT count(*)::int AS n FROM t'))[0]!['n'] as number;

  beforeAll(async () => {
    bench = await makeBench(server());
    folder = mkdtempSync(join(tmpdir(), 'dguard-pg-program-'));
    await bench.database(
      'app',
      'CREATE TABLE t AS SELECT generate_series(1, 300000) AS n, md5(random()::text) AS f',
    );
    await bench.database('closed', 'CREATE TABLE secret (n int)');
    await bench.sql(
      'postgres',
      "CREATE ROLE reader LOGIN PASSWORD 'pass of reader'; REVOKE CONNECT ON DATABASE closed FROM PUBLIC",
    );
    await bench.sql('app', 'GRANT SELECT ON t TO reader');
    const { host, port, user, password, bin } = server();
    writeFileSync(join(folder, 'password'), `${password}\n`, { mode: 0o600 });
    writeFileSync(join(folder, 'reader'), 'pass of reader\n', { mode: 0o600 });
    writeFileSync(join(folder, 'wrong'), 'not the password\n', { mode: 0o600 });
    const login = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`;
    writeFileSync(join(folder, 'uri'), `postgres://${login}@${host}:${port}/`, { mode: 0o600 });
    const base = `type: postgres, host: ${host}, port: ${port}, client_path: ['${bin}']`;
    writeFileSync(
      join(folder, 'backup.yaml'),
      `version: 1
defaults: { temp_dir: ${folder}/temp }
datasources:
  app: { ${base}, username: ${user}, password_file: ${folder}/password, database: app }
  all: { ${base}, username: ${user}, password_file: ${folder}/password, database: all }
  every: { ${base}, username: reader, password_file: ${folder}/reader, database: all }
  wrong: { ${base}, username: ${user}, password_file: ${folder}/wrong, database: app }
  kept: { ${base}, username: ${user}, password_file: ${folder}/password, database: kept }
  stage: { ${base}, username: ${user}, password_file: ${folder}/password, database: stage }
  server: { type: postgres, uri_file: ${folder}/uri, client_path: ['${bin}'] }
destinations:
  nas: { type: local, path: ${folder}/nas }
jobs:
  app: { datasources: [app], destinations: [nas], options: { compression: zstd } }
  parallel: { datasources: [app], destinations: [nas], options: { parallel_jobs: 2 } }
  rows: { datasources: [app], destinations: [nas], options: { format: jsonl } }
  all: { datasources: [all], destinations: [nas] }
  every: { datasources: [every], destinations: [nas] }
  wrong: { datasources: [wrong], destinations: [nas] }
  kept: { datasources: [kept], destinations: [nas] }
  server: { datasources: [server], destinations: [nas] }
`,
      { mode: 0o600 },
    );
  });
  afterAll(async () => {
    await bench?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it('a uri that names no database is refused where the server has several: they would share a history', async () => {
    const backup = await run('backup', 'server');
    expect(backup).toMatchObject({ code: 2 });
    expect(backup.stderr).toMatch(/neither its uri nor database names one, and there are: .*app/);
    expect(backup.stderr).toContain('write database: NAME, a list of names, or all');
    expect(JSON.parse((await run('list', '--json')).stdout)).toMatchObject({ backups: [] });
  });

  it('backs up, restores in place, takes it back, restores to another name', async () => {
    const backup = await run('backup', 'app');
    expect(backup, backup.stderr).toMatchObject({ code: 0 });
    const id = backup.stdout.match(/full-\S+/)![0];
    expect((await run('show', id)).stdout).toContain(
      'then load it: pg_restore -d NEW-DATABASE database.dump',
    );
    expect(await run('restore', 'app')).toMatchObject({ code: 1 });
    await bench.sql('app', 'TRUNCATE t');
    const restored = await run('restore', 'app', '--overwrite');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    expect(await rows()).toBe(300_000);
    expect(await run('restore', 'app', '--undo')).toMatchObject({ code: 0 });
    expect(await rows()).toBe(0);
    expect(await run('restore', 'app', '--to-database', 'app_copy')).toMatchObject({ code: 0 });
    expect(await rows('app_copy')).toBe(300_000);
    expect(await run('restore', 'app', '--overwrite')).toMatchObject({ code: 0 });
    expect(await run('restore', 'app', '--drop-undo', '--yes')).toMatchObject({ code: 0 });
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });

  it.each(['parallel', 'rows'])('job %s comes back the same', async (job) => {
    const backup = await run('backup', job);
    expect(backup, backup.stderr).toMatchObject({ code: 0 });
    const shown = (await run('show', backup.stdout.match(/full-\S+/)![0])).stdout;
    const loads = [...shown.matchAll(/then load it: (.*)/g)].map(([, command]) => command);
    expect(loads).toEqual(
      job === 'parallel'
        ? ['pg_restore -d NEW-DATABASE database.dir']
        : [
            'pg_restore -d NEW-DATABASE --section=pre-data --section=data schema.dump',
            '# the rows: schema.json says how the values of each .jsonl file are written',
            'pg_restore -d NEW-DATABASE --section=post-data schema.dump',
          ],
    );
    const restored = await run('restore', job, '--to-database', `app_${job}`);
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    const sum = 'SELECT md5(string_agg(t::text, $$ $$ ORDER BY n)) AS sum FROM t';
    expect(await bench.sql(`app_${job}`, sum)).toEqual(await bench.sql('app', sum));
  });

  it('--to another datasource goes to the database that it names, never to one of the name that was backed up', async () => {
    await bench.database('stage', 'CREATE TABLE t AS SELECT 1 AS n, NULL::text AS f');
    const to = ['app', '--datasource', 'app', '--to', 'stage'];
    expect((await run('backup', 'app')).code).toBe(0);
    const refused = await run('restore', ...to);
    expect(refused.stderr).toMatch(/^error: restore stage: the database exists and is not empty$/m);
    const restore = await run('restore', ...to, '--overwrite', '--yes');
    expect(restore.code, restore.stderr).toBe(0);
    expect(restore.stdout).toMatch(/ to stage \(.*; public\.t\)$/m);
    expect(await rows('stage')).toBe(300_000);
    expect(restore.stdout).toContain('dguard restore --undo app --datasource app --to stage');
    const undo = await run('restore', '--undo', ...to);
    expect(undo.code, undo.stderr).toBe(0);
    expect(await rows('stage')).toBe(1);
    await run('restore', '--drop-undo', '--yes', ...to);
  });

  it('status tells what is no longer backed up, and its age is no alarm', async () => {
    for (const name of ['one', 'two', 'three']) await bench.database(name, 'CREATE TABLE t AS SELECT 1 AS n');
    const { host, port, user, bin } = server();
    const path = join(folder, 'several.yaml');
    const stateOf = async (databases: string, ...more: string[]) => {
      const source = `type: postgres, host: ${host}, port: ${port}, client_path: ['${bin}'], username: ${user}`;
      writeFileSync(
        path,
        `version: 1
datasources: { shop: { ${source}, password_file: ${folder}/password, database: ${databases} } }
destinations: { nas: { type: local, path: ${folder}/several } }
jobs: { shop: { datasources: [shop], destinations: [nas] } }
`,
        { mode: 0o600 },
      );
      for (const command of more) expect((await run(command, 'shop', '-c', path)).code).toBe(0);
      const { code, stdout } = await run('status', '--max-age', '1h', '--json', '-c', path);
      const { rows } = JSON.parse(stdout) as { rows: { datasource: string; state: string }[] };
      return { code, ...Object.fromEntries(rows.map(({ datasource, state }) => [datasource, state])) };
    };
    expect(await stateOf('one', 'backup')).toEqual({ code: 0, shop: 'ok' });
    const both = { 'shop.one': 'ok', 'shop.two': 'ok' };
    expect(await stateOf('[one, two]', 'backup')).toEqual({ code: 0, ...both, shop: 'former' });
    expect(await stateOf('[one, three]')).toEqual({
      code: 9,
      ...{ 'shop.one': 'ok', 'shop.three': 'none', 'shop.two': 'former', shop: 'former' },
    });
    expect(await stateOf('one')).toEqual({ code: 0, shop: 'ok', 'shop.one': 'former', 'shop.two': 'former' });
  });

  it('one database of `all` that cannot be dumped spoils only itself', async () => {
    const outcome = await run('backup', 'every', '--json');
    expect(outcome.code, outcome.stdout + outcome.stderr).toBe(3);
    expect(outcome.stdout + outcome.stderr).toContain('closed');
    expect(outcome.stderr).toContain('GRANT CONNECT ON DATABASE');
    const listed = (await run('list', 'every')).stdout;
    expect(listed).toContain('every.app');
    expect(listed).toContain('every.postgres');
  });

  it('the command that is printed takes a restore of one of `all` back, whatever it is called', async () => {
    const words = (line: string) =>
      [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    const odd = '--a b*.c$';
    await bench.sql('postgres', `CREATE DATABASE "${odd}" TEMPLATE app`);
    expect((await run('backup', 'all')).code).toBe(0);
    for (const more of [[], ['--to', 'all']]) {
      const restored = await run('restore', 'all', '--datasource', `all.${odd}`, '--overwrite', ...more);
      expect(restored, restored.stderr).toMatchObject({ code: 0 });
      await bench.sql(odd, 'TRUNCATE t');
      const [, command] = /to take it back: dguard (.*)$/m.exec(restored.stdout)!;
      const undone = await run(...words(command!));
      expect(undone, undone.stderr).toMatchObject({ code: 0 });
      expect(undone.stdout).toContain(`all.${odd}: ${odd} is what it was`);
      expect(await rows(odd)).toBe(300_000);
    }
    const listed = (await run('list', 'all')).stdout.split('\n').find((line) => line.includes(odd))!;
    expect(await run('restore', '--undo', listed.match(/full-\S+/)![0])).toMatchObject({ code: 0 });
    expect(await rows(odd)).toBe(0);
    expect((await run('restore', '--undo', 'all', '--datasource', 'all.none')).code).toBe(6);
    expect((await run('restore', '--undo', 'all', '--datasource', 'alle')).code).toBe(2);
    expect((await run('restore', '--drop-undo', 'all', '--yes')).code).toBe(0);
    await bench.sql('postgres', `DROP DATABASE "${odd}"`);
  });

  it('a wrong password fails the run, is not repeated, and leaves only a failed manifest', async () => {
    const outcome = await run('backup', 'wrong', '-v');
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain('password authentication failed');
    expect(outcome.stdout + outcome.stderr).not.toContain('not the password');
  });

  it('no password is left in what was written', () => {
    const { password } = server();
    const search = (path: string): string[] =>
      readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
        const inner = join(path, entry.name);
        if (entry.isDirectory()) return search(inner);
        return entry.name !== 'password' && readFileSync(inner, 'latin1').includes(password) ? [inner] : [];
      });
    expect(search(folder)).toEqual([]);
  });

  it('a test restore whose database cannot be dropped says so, and so does the next one, until it is gone', async () => {
    // A view that, filled in a test restore, makes its database one that the server does not drop.
    await bench.database(
      'kept',
      `CREATE FUNCTION keep() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
         UPDATE pg_catalog.pg_database SET datistemplate = true
          WHERE datname = current_database() AND datname LIKE '%\\_\\_dg\\_scratch\\_%'; RETURN 1; END $$;
       CREATE MATERIALIZED VIEW v AS SELECT keep() AS n`,
    );
    expect((await run('backup', 'kept')).code).toBe(0);
    const scratch = async () =>
      (
        await bench.sql(
          'postgres',
          String.raw`SELECT datname FROM pg_database WHERE datname LIKE 'kept\_\_dg\_scratch\_%'`,
        )
      ).map((row) => row['datname'] as string);
    const verified = await run('verify', 'kept', '--level', 'restore');
    expect(verified, verified.stderr).toMatchObject({ code: 0 });
    const [left] = await scratch();
    const why = 'cannot drop a template database';
    const goes = `the database ${left} could not be removed (${why}); it is marked, and goes with: dguard restore --recover`;
    expect(verified.stderr).toContain(goes);

    const again = await run('verify', 'kept', '--level', 'restore');
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect(again.stderr).toMatch(
      new RegExp(`${left}, left by an interrupted test restore of full-\\S+, could not be removed: ${why}`),
    );

    for (const name of await scratch())
      await bench.sql('postgres', `ALTER DATABASE "${name}" WITH IS_TEMPLATE false`);
    const recovered = await run('restore', 'kept', '--recover');
    expect(recovered, recovered.stderr).toMatchObject({ code: 0 });
    expect(await scratch()).toEqual([]);
  });

  it('a restore that is killed leaves the old database, and the next command cleans up after it', async () => {
    await bench.sql('app', 'TRUNCATE t; INSERT INTO t VALUES (1)');
    const { child, ended } = startDguard(['restore', 'app', '--overwrite'], { cwd: folder });
    await expect
      .poll(async () => (await bench.names()).some((name) => name.startsWith('app__dg_new_')), {
        timeout: 60_000,
        interval: 20,
      })
      .toBe(true);
    child.kill('SIGKILL');
    await ended;
    expect(await rows()).toBe(1);
    // Its pg_restore ends by itself once nobody feeds it.
    await expect
      .poll(
        async () =>
          (await bench.sql('postgres', "SELECT 1 FROM pg_stat_activity WHERE datname LIKE 'app\\_\\_dg%'"))
            .length,
        {
          timeout: 60_000,
        },
      )
      .toBe(0);
    // One that fails says what it has tidied up before.
    const refused = await run('restore', 'app');
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toMatch(/warning: removed app__dg_new_\w+, left by an interrupted restore/);
    const recovered = await run('restore', 'app', '--recover');
    expect(recovered, recovered.stderr).toMatchObject({ code: 0 });
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
    expect(await rows()).toBe(1);
  });
});
