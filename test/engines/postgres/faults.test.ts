import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { DguardError } from '../../../src/errors.ts';
import { runDguard, startDguard } from '../../cli/support.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import type { Cut } from '../support-proxy.ts';
import { type Bench, backUp, makeBench } from './support.ts';
import { openPostgresProxy } from './support-proxy.ts';

const swaps = postgresEngine.swaps!;
const APP = `CREATE TABLE t (n int PRIMARY KEY, state text); CREATE TABLE u (n int REFERENCES t);
  CREATE VIEW v AS SELECT * FROM t; CREATE INDEX ON t (state);
  INSERT INTO t VALUES (1, 'new'), (2, 'new'); INSERT INTO u VALUES (1)`;

/** What hangs on the database itself, as long as it answers. */
const DRESS = `SELECT pg_get_userbyid(datdba) AS owner, (SELECT array_agg(item ORDER BY item COLLATE "C") FROM unnest(datacl::text[]) AS item) AS acl, datconnlimit AS "limit",
  shobj_description(d.oid, 'pg_database') AS comment,
  (SELECT json_agg(setconfig) FROM pg_db_role_setting WHERE setdatabase = d.oid) AS settings
  FROM pg_database d WHERE datname = 'app'`;

/** A target whose rows say whether it is the old or the new one. */
async function makeTarget(bench: Bench): Promise<void> {
  for (const name of await bench.names())
    if (name.includes('__dg_')) await bench.sql('postgres', `DROP DATABASE "${name}" WITH (FORCE)`);
  await bench.database('app', APP);
  await bench.sql('app', "UPDATE t SET state = 'old'");
  await bench.sql(
    'postgres',
    `ALTER DATABASE app OWNER TO keeper; GRANT CONNECT ON DATABASE app TO keeper WITH GRANT OPTION; ALTER DATABASE app CONNECTION LIMIT 33;
     ALTER DATABASE app SET work_mem TO '5MB'; COMMENT ON DATABASE app IS 'kept'`,
  );
}

/** Old or new, never mixed: every row says the same. */
async function stateOf(bench: Bench): Promise<string> {
  const rows = await bench.sql('app', 'SELECT DISTINCT state FROM v');
  expect(rows).toHaveLength(1);
  expect(await bench.sql('app', 'SELECT n FROM u')).toEqual([{ n: 1 }]);
  expect(await bench.sql('postgres', DRESS)).toMatchObject([
    {
      owner: 'keeper',
      acl: ['=Tc/keeper', 'keeper=CTc*/keeper'],
      limit: 33,
      comment: 'kept',
      settings: [['work_mem=5MB']],
    },
  ]);
  return rows[0]!['state'] as string;
}

/** Points of a run that matter, and some between them; at the commit of the swap, before and after it. */
function pointsOf(statements: readonly string[], count: number): { points: Cut[]; commit: number } {
  const swap = statements.findIndex((text) => /RENAME TO "app__dg_undo_/.test(text));
  const commit = statements.indexOf('COMMIT', swap) + 1;
  expect(swap).toBeGreaterThan(10);
  expect(commit).toBeGreaterThan(swap);
  const notable = statements.flatMap((text, at) =>
    /^(CREATE DATABASE|COMMENT ON DATABASE|ANALYZE|ALTER DATABASE|SELECT pg_catalog\.set_config|COPY|ALTER TABLE|DROP)/.test(
      text,
    )
      ? [at + 1]
      : [],
  );
  const every = Math.max(1, Math.floor(notable.length / count));
  const chosen = notable.filter((_, at) => at % every === 0 || at === notable.length - 1);
  const cuts = chosen.map((at, i): Cut => ({ at, when: i % 2 === 0 ? 'before' : 'after' }));
  const create = statements.findIndex((text) => text.startsWith('CREATE DATABASE')) + 1;
  expect(create).toBeGreaterThan(0);
  return {
    commit,
    points: [
      ...cuts.filter(({ at }) => at !== commit),
      // There is a database of ours then, which nobody has marked yet.
      { at: create, when: 'after' },
      { at: commit, when: 'before' },
      { at: commit, when: 'after' },
    ],
  };
}

describeWithPostgres(17, 'postgres: a restore whose connections break', (server) => {
  let bench: Bench;
  let content: BackupContent;

  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.sql('postgres', 'CREATE ROLE keeper');
    await bench.database('app', APP);
    content = await backUp(bench.source('app'));
  });
  afterAll(() => bench?.remove());

  const run = async (cut?: Cut) => {
    await makeTarget(bench);
    const proxy = await openPostgresProxy(server().port, cut);
    try {
      const source = bench.source('app', { port: proxy.port, ssl: 'disable' });
      const result = await postgresEngine
        .restore(content, bench.request('app', { source, overwrite: true }))
        .then(
          () => 'done' as const,
          (error: unknown) => error as DguardError,
        );
      return { result, statements: proxy.statements };
    } finally {
      await proxy.close();
    }
  };

  it('leaves the target whole, old or new, at any statement; recover takes away what is left', async () => {
    const whole = await run();
    expect(whole.result).toBe('done');
    expect(await stateOf(bench)).toBe('new');
    const { points, commit } = pointsOf(whole.statements, 12);
    expect(points.length).toBeGreaterThanOrEqual(10);
    for (const cut of points) {
      const { result } = await run(cut);
      const told = `${cut.when} ${cut.at} of ${whole.statements.length}: ${whole.statements[cut.at - 1]!.slice(0, 80)}`;
      const swapped = cut.at > commit || (cut.at === commit && cut.when === 'after');
      expect(await stateOf(bench), told).toBe(swapped ? 'new' : 'old');
      if (cut.at <= commit) expect(result, told).toBeInstanceOf(DguardError);
      await expect
        .poll(
          async () => {
            await swaps.recover(bench.target('app'));
            return (await bench.names()).filter((name) => name.includes('__dg_new_'));
          },
          { timeout: 60_000, message: told },
        )
        .toEqual([]);
      expect(await swaps.undoCopies(bench.target('app')), told).toHaveLength(swapped ? 1 : 0);
      if (swapped) {
        await swaps.undo(bench.target('app'));
        expect(await stateOf(bench), told).toBe('old');
      }
    }
  });
});

describeWithPostgres(18, 'postgres: a restore that is killed', (server) => {
  let bench: Bench;
  let folder: string;

  const config = (port: number) => {
    const { host, user, bin } = server();
    return `version: 1
defaults: { temp_dir: ${folder}/temp }
datasources:
  app: { type: postgres, host: ${host}, port: ${port}, client_path: ['${bin}'], username: ${user}, password_file: ${folder}/password, database: app, ssl: disable }
destinations:
  nas: { type: local, path: ${folder}/nas }
jobs:
  app: { datasources: [app], destinations: [nas] }
`;
  };
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text, { mode: 0o600 });
  const dguard = (...args: string[]) => runDguard(args, { cwd: folder });

  beforeAll(async () => {
    bench = await makeBench(server());
    folder = mkdtempSync(join(tmpdir(), 'dguard-pg-kill-'));
    write('password', `${server().password}\n`);
    write('backup.yaml', config(server().port));
    await bench.sql('postgres', 'CREATE ROLE keeper');
    await bench.database('app', APP);
    expect(await dguard('backup', 'app')).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await bench?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs a command through a proxy; at the cut it gets the signal, and what is killed loses its connections. */
  const through = async (
    args: string[],
    cut?: Omit<Cut, 'act'>,
    signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL' = 'SIGKILL',
  ) => {
    let kill = () => {};
    const proxy = await openPostgresProxy(
      server().port,
      cut && {
        ...cut,
        act(sever) {
          kill();
          if (signal === 'SIGKILL') sever();
        },
      },
    );
    write('proxied.yaml', config(proxy.port));
    try {
      const { child, ended } = startDguard([...args, '-c', 'proxied.yaml'], { cwd: folder });
      kill = () => child.kill(signal);
      return { ...(await ended), statements: proxy.statements };
    } finally {
      await proxy.close();
    }
  };

  const run = async (cut?: Omit<Cut, 'act'>) => {
    await makeTarget(bench);
    return through(['restore', 'app', '--overwrite'], cut);
  };

  it('is finished or reverted by the next command, at any statement', async () => {
    const whole = await run();
    expect(whole, whole.stderr).toMatchObject({ code: 0 });
    const { points, commit } = pointsOf(whole.statements, 9);
    expect(points.length).toBeGreaterThanOrEqual(10);
    for (const cut of points) {
      const told = `${cut.when} ${cut.at} of ${whole.statements.length}: ${whole.statements[cut.at - 1]!.slice(0, 80)}`;
      const killed = await run(cut);
      expect(killed.code, `${told}\n${killed.stderr}`).toBe(137);
      const swapped = cut.at > commit || (cut.at === commit && cut.when === 'after');
      expect(await stateOf(bench), told).toBe(swapped ? 'new' : 'old');
      // Its pg_restore ends by itself once nobody feeds it.
      await expect
        .poll(
          () =>
            bench.sql('postgres', "SELECT pid FROM pg_stat_activity WHERE datname LIKE 'app\\_\\_dg\\_new%'"),
          { timeout: 60_000 },
        )
        .toEqual([]);
      const recovered = await dguard('restore', 'app', '--recover');
      expect(recovered, `${told}\n${recovered.stderr}`).toMatchObject({ code: 0 });
      const left = (await bench.names()).filter((name) => name.includes('__dg_'));
      expect(left, told).toEqual(swapped ? [expect.stringContaining('__dg_undo_')] : []);
      expect(await stateOf(bench), told).toBe(swapped ? 'new' : 'old');
    }
  });

  it('to a scratch database, or stopped there, leaves none: at once, or once the next verify ran', async () => {
    const verify = ['verify', 'app', '--level', 'restore'];
    const scratch = async () => (await bench.names()).filter((name) => name.includes('__dg_scratch_'));
    const whole = await through(verify);
    expect(whole, whole.stderr).toMatchObject({ code: 0 });
    const made = whole.statements.findIndex((text) => text.startsWith('CREATE DATABASE')) + 1;
    expect(made).toBeGreaterThan(0);
    const middle = Math.floor((made + whole.statements.length) / 2);
    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGKILL', 137],
    ] as const) {
      const told = `${signal} at ${middle} of ${whole.statements.length}`;
      const stopped = await through(verify, { at: middle, when: 'after' }, signal);
      expect(stopped.code, `${told}\n${stopped.stderr}`).toBe(code);
      if (signal !== 'SIGKILL') expect(await scratch(), told).toEqual([]);
      // Its pg_restore ends by itself once nobody feeds it.
      await expect
        .poll(
          async () => {
            const again = await dguard(...verify);
            return again.code === 0 ? (await scratch()).join() : again.stderr;
          },
          { timeout: 120_000, message: told },
        )
        .toBe('');
    }
  });
});
