import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runDguard } from '../../cli/support.ts';
import { type Bench, describeWithEachMysql, makeBench, picture } from './support.ts';

const OBJECTS = readFileSync(join(import.meta.dirname, 'support-objects.sql'), 'utf8');

/** What the server's client, told nothing, does not bring back. */
const MORE = [
  'CREATE VIEW z_names AS SELECT id AS a_names FROM parent WHERE id > 1',
  'CREATE VIEW a_names AS SELECT a_names AS z_names FROM z_names WITH CASCADED CHECK OPTION',
  // An alias is no view that is read.
  'CREATE VIEW b_first AS SELECT c_second.id FROM parent c_second WHERE c_second.id > 1',
  'CREATE VIEW c_second AS SELECT id FROM b_first WITH CASCADED CHECK OPTION',
  "CREATE PROCEDURE with_returns () BEGIN\r\n  -- a comment\r\n  SELECT 'a\r\nb';\r\nEND",
  // Code of before remembers what it was.
  'ALTER DATABASE dgh_all CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
];

describeWithEachMysql('mysql: what show prints, in a shell', (server) => {
  let bench: Bench;
  let home: string;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgh_');
    home = join(bench.folder, 'home');
    mkdirSync(home);
    const { host, port, user, password, bin } = server();
    writeFileSync(join(home, 'password'), password, { mode: 0o600 });
    const escaped = password.replace(/[\\"]/g, '\\$&');
    writeFileSync(
      join(home, '.my.cnf'),
      `[client]\nhost=${host}\nport=${port}\nprotocol=tcp\nuser=${user}\npassword="${escaped}"\n`,
      { mode: 0o600 },
    );
    const source = {
      type: 'mysql',
      host,
      port,
      username: user,
      password_file: join(home, 'password'),
      ...(bin === undefined ? {} : { client_path: bin }),
    };
    const config = {
      version: 1,
      datasources: Object.fromEntries(
        ['all', 'lone'].map((name) => [name, { ...source, database: `dgh_${name}` }]),
      ),
      destinations: { store: { type: 'local', path: join(home, 'store') } },
      jobs: Object.fromEntries(
        ['all', 'lone'].map((name) => [
          name,
          { datasources: [name], destinations: ['store'], options: { compression: 'gzip' } },
        ]),
      ),
    };
    writeFileSync(join(home, 'backup.yaml'), JSON.stringify(config), { mode: 0o600 });
  });
  afterAll(() => bench?.remove());

  /** Backs a job up; returns its folder and the lines of `show` that restore it without dguard. */
  async function backUp(job: string) {
    const made = await runDguard(['backup', job, '-q'], { cwd: home });
    expect(made.code, made.stderr).toBe(0);
    const folder = join(home, 'store', job, job);
    const [id] = readdirSync(folder);
    const { stdout } = await runDguard(['show', id!], { cwd: home });
    const lines = stdout.trim().split('without dguard')[1]!.split('\n').slice(1);
    const load = lines.find((line) => line.includes('then load it: '));
    return {
      folder: join(folder, id!),
      unpack: lines.filter((line) => line !== load).join('\n'),
      load: load!.replace(/^.*then load it: /, ''),
    };
  }

  function inShell(script: string, cwd: string): void {
    const { bin } = server();
    const PATH = [...(bin === undefined ? [] : [bin]), process.env['PATH']].join(delimiter);
    const own = mkdtempSync(join(home, 'own-'));
    writeFileSync(join(own, '.my.cnf'), readFileSync(join(home, '.my.cnf')), { mode: 0o600 });
    const done = spawnSync('bash', ['-c', script], { cwd, env: { PATH, HOME: own }, encoding: 'utf8' });
    expect(done.status, `${script}\n${done.stdout}${done.stderr}`).toBe(0);
  }

  it('brings all of a database back that is gone', async () => {
    await bench.database('dgh_all', OBJECTS);
    for (const statement of MORE) await bench.sql('dgh_all', statement);
    const before = await picture(bench, 'dgh_all');
    const writable = () =>
      bench.sql(
        undefined,
        "SELECT TABLE_NAME AS v, IS_UPDATABLE AS yes FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'dgh_all' ORDER BY 1",
      );
    const wereWritable = await writable();
    const { folder, unpack, load } = await backUp('all');
    await bench.sql(undefined, 'DROP DATABASE dgh_all');
    inShell(`${unpack} && ${load}`, folder);
    expect(await picture(bench, 'dgh_all')).toEqual(before);
    expect(await writable()).toEqual(wereWritable);
  });

  it('leaves a database alone that is still there, and goes into one of another name', async () => {
    await bench.database('dgh_lone', 'CREATE TABLE t (n INT);\nCREATE PROCEDURE p (x TEXT) SELECT x');
    await bench.sql(undefined, 'ALTER DATABASE dgh_lone CHARACTER SET latin1');
    await bench.sql('dgh_lone', 'CREATE TRIGGER t_bi BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1');
    await bench.sql(
      'dgh_lone',
      "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DO DELETE FROM t",
    );
    await bench.sql(undefined, 'ALTER DATABASE dgh_lone CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
    const before = await picture(bench, 'dgh_lone');
    const { folder, unpack, load } = await backUp('lone');
    // It has been given another one since.
    await bench.sql(undefined, 'ALTER DATABASE dgh_lone CHARACTER SET latin2');
    inShell(`${unpack} && ${load.replaceAll('dgh_lone', 'dgh_other')}`, folder);
    expect(await picture(bench, 'dgh_other')).toEqual(before);
    const [{ charset }] = (await bench.sql('dgh_lone', 'SELECT @@character_set_database AS charset')) as [
      { charset: string },
    ];
    expect(charset).toBe('latin2');
  });
});
