import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { StreamMember } from '../../../src/engines/member.ts';
import { memberText } from '../../../src/engines/member-text.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres, describeWithPostgres } from '../../services/needs.ts';
import { type PostgresServer, postgresPrograms } from '../../services/postgres.mjs';
import { type Bench, backUp, dumpRequest, makeBench } from './support.ts';

const BIG = `CREATE TABLE big (id int PRIMARY KEY, filler text);
  INSERT INTO big SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 100000) g`;

/** Our child of this name. */
function childPid(name: string): number {
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      if (new RegExp(`^Name:\\s+${name}$`, 'm').test(status) && status.includes(`PPid:\t${process.pid}\n`)) {
        return Number(pid);
      }
    } catch {
      // Gone meanwhile.
    }
  }
  throw new Error(`no child ${name}`);
}

describeWithEachPostgres('postgres: dump', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database('big', BIG);
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

  it('both tables agree under a writer that inserts into them in one transaction', async () => {
    await bench.database(
      'pair',
      'CREATE TABLE a (n int, f text); CREATE TABLE b (n int); CREATE TABLE z (f text); INSERT INTO z SELECT repeat(md5(g::text), 30) FROM generate_series(1, 20000) g',
    );
    let running = true;
    let written = 0;
    const writer = (async () => {
      while (running) {
        written++;
        await bench.sql(
          'pair',
          `BEGIN; INSERT INTO a SELECT ${written}, repeat('x', 100) FROM generate_series(1, 10);
           INSERT INTO b SELECT ${written} FROM generate_series(1, 10); COMMIT`,
        );
      }
    })();
    try {
      for (const parallelJobs of [1, 2]) {
        const before = written;
        const content = await backUp(bench.source('pair'), { parallelJobs });
        expect(written).toBeGreaterThan(before);
        const target = `pair_${parallelJobs}`;
        const { tables } = await postgresEngine.restore(
          content,
          bench.request('pair', { toDatabase: target }),
        );
        const rows = Object.fromEntries(tables!.map((table) => [table.name, table.rows]));
        expect(rows['public.a']).toBe(rows['public.b']);
        const [row] = await bench.sql(
          target,
          'SELECT (SELECT max(n) FROM a) = (SELECT max(n) FROM b) AS same',
        );
        expect(row!['same']).toBe(true);
      }
    } finally {
      running = false;
      await writer;
    }
  });

  it('names its facts: identity, version, counts, extensions', async () => {
    const dump = await postgresEngine.dump(bench.source('big'), dumpRequest());
    try {
      expect(dump.identity).toMatch(/^\d{15,}\/big$/);
      for await (const member of dump.members()) for await (const _ of (member as StreamMember).open());
      const facts = await dump.facts();
      expect(facts).toMatchObject({
        tool: 'pg_dump',
        rows: 100_000,
        tables_count: 1,
        consistency: 'snapshot',
      });
      expect(facts.schema_sha256).toMatch(/^[0-9a-f]{64}$/);
      expect(facts.extensions).toEqual(['plpgsql 1.0']);
      expect(facts.database_version!.split('.')[0]).toBe(facts.tool_version!.split('.')[0]);
    } finally {
      await dump.close();
    }
  });

  it('a pg_dump killed in the middle fails the dump', async () => {
    const error = await errorOf(inTheMiddle(bench, () => process.kill(childPid('pg_dump'), 'SIGKILL')));
    expect(error).toMatchObject({ code: 'source_failed', subject: 'app/big' });
    expect(error.message).toContain('killed by SIGKILL');
  });

  it('no password is in arguments or environment of any process while a dump runs, nor readable by others', async () => {
    await inTheMiddle(bench, () => {
      const seen: string[] = [];
      for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
        for (const file of ['cmdline', 'environ']) {
          try {
            const text = readFileSync(`/proc/${pid}/${file}`, 'latin1');
            if (text.includes(server().password)) seen.push(`${pid}/${file}`);
          } catch {
            // Gone meanwhile, or not ours to read.
          }
        }
      }
      expect(seen).toEqual([]);
      const argv = readFileSync(`/proc/${childPid('pg_dump')}/cmdline`, 'latin1').split('\0');
      const passfile = /passfile='([^']+)'/.exec(argv.find((word) => word.includes('passfile'))!)![1]!;
      expect(readFileSync(passfile, 'utf8')).toContain('*:*:*:*:');
    });
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });

  it('a stopped dump leaves no session, no process and no file', async () => {
    const controller = new AbortController();
    const reason = new DguardError('interrupted', 'interrupted');
    const stopped = inTheMiddle(bench, () => controller.abort(reason), controller.signal);
    expect(await errorOf(stopped)).toBe(reason);
    expect(() => childPid('pg_dump')).toThrow();
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
    await expect
      .poll(
        async () =>
          (await bench.sql('postgres', "SELECT 1 FROM pg_stat_activity WHERE application_name = 'dguard'"))
            .length,
      )
      .toBe(0);
  });

  it('pg_dump begins before its bytes are asked for; where nobody asks, it goes with the dump', async () => {
    const dump = await postgresEngine.dump(bench.source('big'), dumpRequest());
    const copying = async () =>
      bench.sql(
        'postgres',
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'dguard' AND query LIKE 'COPY public.big %'",
      );
    try {
      await expect.poll(async () => (await copying()).length, { timeout: 20_000 }).toBe(1);
    } finally {
      await dump.close();
    }
    expect(() => childPid('pg_dump')).toThrow();
    expect(() => childPid('pg_dumpall')).toThrow();
    expect(readdirSync(join(bench.folder, 'temp'))).toEqual([]);
    await expect.poll(async () => (await copying()).length).toBe(0);
  });

  it('a table truncated, dropped or altered while it is dumped waits for the dump, and is in it', async () => {
    await bench.database(
      'ddl',
      'CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000); CREATE TABLE u (n int); INSERT INTO u VALUES (1)',
    );
    const dump = await postgresEngine.dump(bench.source('ddl'), dumpRequest());
    const ddl: Promise<unknown>[] = [];
    try {
      for await (const member of dump.members()) {
        for await (const _ of (member as StreamMember).open()) {
          if (ddl.length > 0) continue;
          ddl.push(bench.sql('ddl', 'TRUNCATE t'), bench.sql('ddl', 'DROP TABLE u'));
        }
      }
      expect((await dump.facts()).rows).toBe(1001);
    } finally {
      await dump.close();
    }
    await Promise.all(ddl);
    expect(await bench.sql('ddl', 'SELECT n FROM t')).toEqual([]);
  });

  it('a pg_dumpall that finds no connection left beside pg_dump is started again after it', async () => {
    const wrapper = await toolsElsewhere(bench, server(), server().bin ?? '/usr/bin');
    const scarce = join(bench.folder, 'scarce');
    // As for a role with CONNECTION LIMIT 2.
    const once = `if [ "$1" = pg_dumpall ] && mkdir '${scarce}.once'; then echo 'FATAL: too many connections' >&2; exit 1; fi`;
    await writeFile(scarce, `#!/bin/sh\n${once}\nexec '${wrapper}' "$@"\n`, { mode: 0o755 });
    const { password: _, ...rest } = bench.source('big').options;
    const options = { ...rest, client_command: [scarce], client_path: [] };
    const content = await backUp({ ...bench.source('big'), options });
    const globals = await content.entry('globals.sql');
    expect(await memberText(content, globals!)).toContain('CREATE ROLE');
    expect(existsSync(`${scarce}.once`)).toBe(true);
  });

  it('a wrong password is told, and not repeated', async () => {
    const source = bench.source('big', { password: new Secret('not-the-password') });
    const error = await errorOf(postgresEngine.dump(source, dumpRequest()));
    expect(error.code).toBe('source_failed');
    expect(error.message).toContain('password authentication failed');
    expect(error.message + error.hint).not.toContain('not-the-password');
    expect(error.hint).toContain('username and password');
  });

  it('a password changed between snapshot and dump fails it clearly', async () => {
    await bench.sql('postgres', "CREATE ROLE changing SUPERUSER LOGIN PASSWORD 'first word'");
    const source = bench.source('big', { username: 'changing', password: new Secret('first word') });
    // These connect once more when they are read.
    const dump = await postgresEngine.dump(source, dumpRequest({ parallelJobs: 2 }));
    try {
      await bench.sql('postgres', "ALTER ROLE changing PASSWORD 'second'");
      const error = await errorOf(consume(dump.members()));
      expect(error.message).toContain('password authentication failed');
      expect(error.message).not.toContain('first word');
      expect(error.hint).toContain('username and password');
    } finally {
      await dump.close();
      await bench.sql('postgres', 'DROP ROLE changing');
    }
  });

  it('rows that row level security hides are an error, not a smaller dump', async () => {
    await bench.database(
      'hidden',
      'CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (n = 1)',
    );
    await bench.sql('postgres', "DROP ROLE IF EXISTS weak; CREATE ROLE weak LOGIN PASSWORD 'weak one'");
    const source = bench.source('hidden', { username: 'weak', password: new Secret('weak one') });
    const unreadable = await errorOf(postgresEngine.dump(source, dumpRequest()));
    expect(unreadable).toMatchObject({ code: 'source_failed' });
    expect(unreadable.message).toContain('public.t');
    await bench.sql('postgres', 'GRANT pg_read_all_data TO weak');
    const error = await errorOf(postgresEngine.dump(source, dumpRequest()));
    expect(error.message).toContain('row level security would hide rows of public.t');
    expect(error.hint).toContain('BYPASSRLS');
    await bench.sql('postgres', 'ALTER ROLE weak BYPASSRLS; REVOKE pg_read_all_data FROM weak');
    await bench.sql('hidden', 'GRANT SELECT ON t TO weak');
    // Not a superuser: roles come without their passwords.
    const content = await backUp(source);
    expect(content.facts.rows).toBe(2);
    const globals: Buffer[] = [];
    for await (const chunk of content.read((await content.entry('globals.sql'))!))
      globals.push(Buffer.from(chunk));
    expect(Buffer.concat(globals).toString()).toContain('CREATE ROLE weak');
    expect(Buffer.concat(globals).toString()).not.toContain('SCRAM-SHA-256');
  });

  it("a role's own statement_timeout does not end a dump", async () => {
    await bench.sql(
      'postgres',
      "CREATE ROLE hasty SUPERUSER LOGIN PASSWORD 'pw'; ALTER ROLE hasty SET statement_timeout = 1; ALTER ROLE hasty SET row_security = on",
    );
    const source = bench.source('big', { username: 'hasty', password: new Secret('pw') });
    expect((await backUp(source)).facts.rows).toBe(100_000);
  });

  it('patterns leave rows out, never definitions; a pattern without a table is told', async () => {
    await bench.database(
      'chosen',
      `CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE logs_a (u int REFERENCES users); CREATE TABLE logs_b (n int);
       CREATE VIEW v AS SELECT * FROM logs_b; INSERT INTO users VALUES (1); INSERT INTO logs_a VALUES (1); INSERT INTO logs_b VALUES (1)`,
    );
    const content = await backUp(bench.source('chosen'), { exclude: ['logs_*', 'nothing_*'] });
    expect(content.facts).toMatchObject({ tables_count: 1, rows: 1 });
    expect(bench.warnings.map((warning) => warning.message)).toEqual([
      "no table matches the pattern 'nothing_*'",
    ]);
    const outcome = await postgresEngine.restore(
      content,
      bench.request('chosen', { toDatabase: 'chosen_copy' }),
    );
    expect(outcome.tables).toEqual([{ name: 'public.users', rows: 1 }]);
    expect(await bench.sql('chosen_copy', 'SELECT count(*)::int AS n FROM v')).toEqual([{ n: 0 }]);

    const one = await backUp(bench.source('chosen'), { include: ['public.logs_a'] });
    expect(one.facts.rows).toBe(1);
    bench.warnings.length = 0;
    await postgresEngine.restore(one, bench.request('chosen', { toDatabase: 'chosen_one' }));
    expect(await bench.sql('chosen_one', 'SELECT u FROM logs_a')).toEqual([{ u: 1 }]);
    // Its foreign key cannot hold without the rows that it points to.
    expect(bench.warnings.map((warning) => warning.message).join()).toContain('public.logs_a → public.users');

    const none = await errorOf(
      postgresEngine.dump(bench.source('chosen'), dumpRequest({ include: ['nope'] })),
    );
    expect(none).toMatchObject({ code: 'source_empty' });
  });

  it('reads each table once: the rows are counted as the dump passes by', async () => {
    await bench.database(
      'once',
      `${BIG}; CREATE TABLE parted (n int) PARTITION BY LIST (n);
      CREATE TABLE part PARTITION OF parted FOR VALUES IN (1); INSERT INTO parted VALUES (1), (1)`,
    );
    await bench.sql('once', 'VACUUM ANALYZE');
    const scans = async () => {
      const [row] = await bench.sql(
        'once',
        'SELECT sum(seq_scan + coalesce(idx_scan, 0))::int AS n FROM pg_stat_user_tables',
      );
      return row!['n'] as number;
    };
    const before = await scans();
    const content = await backUp(bench.source('once'));
    // Two tables with rows, each read by pg_dump.
    await expect.poll(scans, { timeout: 10_000 }).toBeGreaterThanOrEqual(before + 2);
    expect(await scans()).toBe(before + 2);
    const tables: unknown[] = [];
    for await (const entry of content.entries())
      if (entry.type === 'table') tables.push([entry.table, entry.rows]);
    expect(tables).toEqual([
      ['public.big', 100_000],
      ['public.part', 2],
    ]);
  });

  it('estimates rows from statistics where asked to, and leaves role passwords out', async () => {
    await bench.database('guessed', `${BIG}; CREATE TABLE never_analysed (n int)`);
    await bench.sql('guessed', 'ANALYZE big; DELETE FROM big WHERE id <= 50000');
    const source = bench.source('guessed', { row_counts: 'estimate', role_passwords: false });
    const content = await backUp(source);
    expect(content.facts.rows).toBeUndefined();
    const tables: unknown[] = [];
    for await (const entry of content.entries())
      if (entry.type === 'table') tables.push([entry.table, entry.rows]);
    expect(tables).toEqual([
      ['public.big', 100_000],
      ['public.never_analysed', undefined],
    ]);
    const globals: Buffer[] = [];
    for await (const chunk of content.read((await content.entry('globals.sql'))!))
      globals.push(Buffer.from(chunk));
    expect(Buffer.concat(globals).toString()).not.toContain('PASSWORD');
    // Not held against the estimate, but counted.
    const outcome = await postgresEngine.restore(content, bench.request('guessed', { scratch: true }));
    expect(outcome.tables).toContainEqual({ name: 'public.big', rows: 50_000 });
  });

  it('waits for a lock, and for a statement, as long as it is told', async () => {
    await bench.database('held', 'CREATE TABLE t (n int)');
    const held = bench.sql('held', 'BEGIN; LOCK TABLE t; SELECT pg_sleep(3); ROLLBACK');
    await new Promise((resolve) => setTimeout(resolve, 300));
    const error = await errorOf(
      postgresEngine.dump(bench.source('held', { lock_timeout_ms: 200 }), dumpRequest()),
    );
    expect(error).toMatchObject({ code: 'source_failed' });
    expect(error.hint).toContain('somebody holds a table exclusively');
    expect(error.message).toMatch(/due to lock timeout: held are public\.t by pid \d+ \(/);
    await held;
    const slow = bench.source('big', { statement_timeout_ms: 20 });
    const stopped = await errorOf(backUp(slow));
    expect(stopped.message).toContain('statement timeout');
    expect(stopped.hint).toContain('statement_timeout');
  });

  it('health tells ok, a wrong password, nobody there and an unknown database apart', async () => {
    const probe = (options = {}, database = 'big') => postgresEngine.probe(bench.source(database, options));
    expect(await probe()).toMatchObject({ status: 'ok', facts: { role: 'primary' } });
    expect((await probe()).sizeBytes).toBeGreaterThan(30_000_000);
    expect(await probe({ password: new Secret('wrong one') })).toMatchObject({ status: 'auth_failed' });
    expect(await probe({ port: 1 })).toMatchObject({ status: 'unreachable' });
    expect(await probe({ host: 'no-such-host.invalid' })).toMatchObject({ status: 'unreachable' });
    expect(await probe({}, 'no_such_database')).toMatchObject({ status: 'error' });
    expect(JSON.stringify(await probe({ password: new Secret('wrong one') }))).not.toContain('wrong one');
  });

  it('`all` means every database but templates and those that dguard marked', async () => {
    await bench.database('zz_marked');
    await bench.sql(
      'postgres',
      `COMMENT ON DATABASE zz_marked IS '{"dguard":{"role":"undo","target":"zz"}}'`,
    );
    const all = bench.source([], { all_databases: true });
    const names = await postgresEngine.databases!(all);
    expect(names).toContain('big');
    expect(names).toContain('postgres');
    expect(names).not.toContain('zz_marked');
    expect(names).not.toContain('template1');
    expect(await postgresEngine.databases!(bench.source(['b', 'a']))).toEqual(['b', 'a']);
  });

  it('a uri says it all', async () => {
    const { host, port, user, password } = server();
    const uri = `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/big?sslmode=prefer`;
    const { host: _, port: __, username: ___, password: ____, ...rest } = bench.source([]).options;
    const source = { ...bench.source([]), options: { ...rest, uri: new Secret(uri) } };
    expect((await backUp(source)).facts.rows).toBe(100_000);
    const bad = { ...source, options: { ...rest, uri: new Secret('mysql://a@b/c') } };
    expect(await errorOf(postgresEngine.dump(bad, dumpRequest()))).toMatchObject({ code: 'config_invalid' });
  });

  it('client_command runs the tools elsewhere, and every query too', async () => {
    const wrapper = await toolsElsewhere(bench, server(), server().bin ?? '/usr/bin');
    const { password: _, ...rest } = bench.source('big').options;
    const source = {
      ...bench.source('big'),
      options: { ...rest, client_command: [wrapper], client_path: [] },
    };
    const content = await backUp(source, { parallelJobs: 2 });
    expect(content.facts.rows).toBe(100_000);
    expect(bench.warnings.map((warning) => warning.message).join()).toContain('parallel_jobs');
    const outcome = await postgresEngine.restore(
      content,
      bench.request('big', { source, toDatabase: 'wrapped' }),
    );
    expect(outcome.tables).toEqual([{ name: 'public.big', rows: 100_000 }]);
    expect(await postgresEngine.probe(source)).toMatchObject({ status: 'ok' });
    const wrong = { ...source, options: { ...source.options, username: 'nobody_such' } };
    expect(await postgresEngine.probe(wrong)).toMatchObject({ status: 'auth_failed' });
  });

  it('with client_command pg_dump is given no library of this file system', async () => {
    const wrapper = await toolsElsewhere(bench, server(), server().bin ?? '/usr/bin');
    const looking = join(bench.folder, 'looking');
    const look = `[ "$1" = pg_dump ] && echo "$*: \${LD_PRELOAD-none}" >> '${looking}.said'`;
    await writeFile(looking, `#!/bin/sh\n${look}\nexec '${wrapper}' "$@"\n`, { mode: 0o755 });
    const { password: _, ...rest } = bench.source('big').options;
    const options = { ...rest, client_command: [looking], client_path: [] };
    await backUp({ ...bench.source('big'), options });
    const said = readFileSync(`${looking}.said`, 'utf8').trim().split('\n');
    expect(said.some((line) => line.includes('--snapshot='))).toBe(true);
    expect(said.filter((line) => !line.endsWith(': none'))).toEqual([]);
  });

  it('with client_command chosen tables come back too: beside the database, and into it', async () => {
    const wrapper = await toolsElsewhere(bench, server(), server().bin ?? '/usr/bin');
    await bench.database(
      'far',
      `CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1), (2);
       CREATE TABLE large (t text); INSERT INTO large SELECT repeat(md5(i::text), 50) FROM generate_series(1, 6000) i;
       CREATE TABLE zchild (id int PRIMARY KEY, parent int REFERENCES parent); INSERT INTO zchild VALUES (1, 1), (2, 2), (3, 2);
       CREATE FUNCTION quiet() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
       CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION quiet()`,
    );
    const { password: _, ...rest } = bench.source('far').options;
    const options = { ...rest, client_command: [wrapper], client_path: [] };
    const source = { ...bench.source('far'), options };
    const content = await backUp(source);
    expect((content.facts.engine!['large_data'] as unknown[]).length).toBe(1);
    const chosen = await postgresEngine.restore(
      content,
      bench.request('far', { source, toDatabase: 'far_chosen', only: ['zchild'] }),
    );
    expect(chosen.tables).toEqual([{ name: 'public.zchild', rows: 3 }]);
    const [empty] = await bench.sql(
      'far_chosen',
      `SELECT (SELECT count(*) FROM parent) AS parents, (SELECT count(*) FROM large) AS larges,
        (SELECT count(*) FROM pg_constraint WHERE contype = 'f') AS keys, (SELECT count(*) FROM pg_event_trigger) AS triggers`,
    );
    expect(empty).toMatchObject({ parents: '0', larges: '0', keys: '0', triggers: '1' });
    await bench.sql('far', 'DELETE FROM zchild; DELETE FROM large');
    const merged = await postgresEngine.restore(
      content,
      bench.request('far', { source, only: ['large', 'zchild'], overwrite: true }),
    );
    expect(merged.tables).toEqual([
      { name: 'public.large', rows: 6000 },
      { name: 'public.zchild', rows: 3 },
    ]);
    const [back] = await bench.sql(
      'far',
      'SELECT (SELECT count(*) FROM large) AS larges, (SELECT count(*) FROM zchild) AS children, (SELECT count(*) FROM parent) AS parents',
    );
    expect(back).toMatchObject({ larges: '6000', children: '3', parents: '2' });
    // An error in the middle of several statements is one: psql tells only how the last of them ended.
    const kept = merged.undo!.slice('far: schema '.length);
    await bench.sql('far', `CREATE VIEW upon_it AS SELECT * FROM ${kept}.t1`);
    const target = { ...bench.target('far'), source };
    await expect(postgresEngine.swaps!.dropUndo(target, 0)).rejects.toThrow(/depend/);
    await bench.sql('far', 'DROP VIEW upon_it');
    expect(await postgresEngine.swaps!.dropUndo(target, 0)).toHaveLength(1);
    const whole = await postgresEngine.restore(
      content,
      bench.request('far', { source, toDatabase: 'far_whole' }),
    );
    expect(whole.tables!.length).toBe(3);
    const exported = await backUp(source, { format: 'jsonl' });
    const fromJson = await postgresEngine.restore(
      exported,
      bench.request('far', { source, toDatabase: 'far_json', only: ['zchild'] }),
    );
    expect(fromJson.tables).toEqual([{ name: 'public.zchild', rows: 3 }]);
  });

  it('with client_command chosen tables keep their letters where the dump is in another encoding', async () => {
    const wrapper = await toolsElsewhere(bench, server(), server().bin ?? '/usr/bin');
    await bench.sql('postgres', 'DROP DATABASE IF EXISTS far_latin');
    await bench.sql(
      'postgres',
      "CREATE DATABASE far_latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
    );
    await bench.sql('far_latin', "ALTER DATABASE far_latin SET client_encoding = 'UTF8'");
    await bench.sql(
      'far_latin',
      "CREATE TABLE words (t text); INSERT INTO words VALUES ('é'); CREATE TABLE other (t text)",
    );
    const { password: _, ...rest } = bench.source('far_latin').options;
    const source = {
      ...bench.source('far_latin'),
      options: { ...rest, client_command: [wrapper], client_path: [] },
    };
    await postgresEngine.restore(
      await backUp(source),
      bench.request('far_latin', { source, toDatabase: 'far_latin_chosen', only: ['words'] }),
    );
    expect(await bench.sql('far_latin_chosen', 'SELECT t, octet_length(t) AS bytes FROM words')).toEqual([
      { t: 'é', bytes: 1 },
    ]);
  });

  it('run_as uses the socket of a server that knows the system user', async (context) => {
    const { socketFolder, port, user, bin } = server();
    if (socketFolder === undefined || process.getuid?.() !== 0)
      return context.skip('needs root and an own server');
    const { password: _, host: __, username: ___, ...rest } = bench.source('big').options;
    const options = { ...rest, socket: socketFolder, port, run_as: user, client_path: [bin!] };
    const source = { ...bench.source('big'), options };
    expect((await backUp(source)).facts.rows).toBe(100_000);
  });
});

describeWithPostgres(
  18,
  'postgres: thousands of tables',
  (server) => {
    it('fit into the locks that pg_dump itself needs, and come back', async () => {
      const bench = await makeBench(server());
      try {
        await bench.database('many');
        for (let at = 0; at < 2000; at += 200) {
          const tables = Array.from(
            { length: 200 },
            (_, i) =>
              `CREATE TABLE t${at + i} (id int PRIMARY KEY, a int UNIQUE, b text); CREATE INDEX ON t${at + i} (b)`,
          );
          await bench.sql('many', `${tables.join('; ')}; INSERT INTO t${at} VALUES (1, 1, '')`);
        }
        const content = await backUp(bench.source('many'));
        expect(content.facts).toMatchObject({ tables_count: 2000, rows: 10 });
        const outcome = await postgresEngine.restore(
          content,
          bench.request('many', { toDatabase: 'many_copy' }),
        );
        expect(outcome.tables).toHaveLength(2000);
        expect(bench.warnings).toEqual([]);
      } finally {
        await bench.remove();
      }
    }, 300_000);
  },
  // Room for about 64 × 60 locks; the indexes alone are 6,000.
  { settings: { max_connections: '40' } },
);

describeWithPostgres(17, 'postgres: a server that goes away', (server) => {
  it('fails the dump clearly when it stops in the middle, and is unreachable then', async () => {
    const bench = await makeBench(server());
    try {
      await bench.database('big', BIG);
      // The test server commits without waiting for its disk: a crash would take the rows.
      await bench.sql('big', 'CHECKPOINT');
      let halted: Promise<void> | undefined;
      const error = await errorOf(
        inTheMiddle(bench, async () => {
          halted = server().halt('SIGQUIT');
          await halted;
        }),
      );
      expect(error).toMatchObject({ code: 'source_failed' });
      expect(error.message).not.toContain(server().password);
      expect(await postgresEngine.probe(bench.source('big'))).toMatchObject({ status: 'unreachable' });
      await server().resume();
      expect((await backUp(bench.source('big'))).facts.rows).toBe(100_000);
    } finally {
      await bench.remove();
    }
  });
});

describeWithPostgres(18, 'postgres: client tools', (server) => {
  const only15 = { client_path: [postgresPrograms(15) ?? '/nonexistent'] };

  it.skipIf(postgresPrograms(15) === undefined)(
    'older than the server are refused, with the package to install',
    async () => {
      const bench = await makeBench(server());
      const source = { ...bench.source('postgres', only15), env: { PATH: '/nonexistent' } };
      const error = await errorOf(postgresEngine.dump(source, dumpRequest()));
      expect(error).toMatchObject({ code: 'tool_version', exitStatus: 7 });
      expect(error.message).toContain('the server is PostgreSQL 18');
      expect(error.hint).toContain('postgresql-client-18');
      await bench.remove();
    },
  );
});

describeWithPostgres(15, 'postgres: client tools', (server) => {
  it.skipIf(postgresPrograms(18) === undefined)(
    'whose dump would not load into the server are refused, with the package to install',
    async () => {
      const bench = await makeBench(server());
      // The only tools that there are: where client_command runs them.
      const wrapper = await toolsElsewhere(bench, server(), postgresPrograms(18)!);
      const { password: _, ...rest } = bench.source('postgres').options;
      const options = { ...rest, client_command: [wrapper], client_path: [] };
      const source = { ...bench.source('postgres'), options };
      const error = await errorOf(postgresEngine.dump(source, dumpRequest()));
      expect(error).toMatchObject({ code: 'tool_version', exitStatus: 7 });
      expect(error.message).toContain('what pg_dump 18');
      expect(error.hint).toContain('postgresql-client-15');
      await bench.remove();
    },
  );

  it.skipIf(postgresPrograms(17) === undefined)('of the server come first; newer ones are told', async () => {
    const bench = await makeBench(server());
    await bench.database('small', 'CREATE TABLE t (n int)');
    const client_path = [18, 17].map((major) => postgresPrograms(major) ?? '/nonexistent');
    const all = await backUp(bench.source('small', { client_path }));
    expect(all.facts.tool_version).toMatch(/^15\./);
    await bench.remove();
  });
});

describe('postgres: a host that never answers', () => {
  it('is a timeout', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const fake = {
      label: '',
      bin: undefined,
      host: '127.0.0.1',
      port,
      user: 'x',
      password: 'y',
      socketFolder: undefined,
    };
    const bench = await makeBench({ ...fake, pid: undefined } as never);
    expect(await postgresEngine.probe(bench.source('x'))).toMatchObject({ status: 'timeout' });
    silent.close();
    await bench.remove();
  });
});

/** A command that runs client tools as in a container: another environment, another PATH. */
async function toolsElsewhere(bench: Bench, { password }: PostgresServer, bin: string): Promise<string> {
  const passfile = join(bench.folder, 'inside.pgpass');
  await writeFile(passfile, `*:*:*:*:${password.replace(/[\\:]/g, '\\$&')}\n`, { mode: 0o600 });
  const wrapper = join(bench.folder, 'wrapper');
  await writeFile(wrapper, `#!/bin/sh\nexec env -i PATH='${bin}' PGPASSFILE='${passfile}' "$@"\n`);
  await chmod(wrapper, 0o755);
  return wrapper;
}

async function consume(members: AsyncIterable<unknown>): Promise<void> {
  for await (const member of members) for await (const _ of (member as StreamMember).open());
}

/** Dumps `big`, and does something once its first bytes have come. */
async function inTheMiddle(
  bench: Bench,
  action: () => unknown,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  const dump = await postgresEngine.dump({ ...bench.source('big'), signal }, dumpRequest());
  try {
    let acted = false;
    for await (const member of dump.members()) {
      for await (const _ of (member as StreamMember).open()) {
        if (acted) continue;
        acted = true;
        await action();
      }
    }
    await dump.facts();
  } finally {
    await dump.close();
  }
}
