import { readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { StreamMember } from '../../../src/engines/member.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres, describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, dumpRequest, makeBench } from './support.ts';
import { BIG, childPid } from './support-dump.ts';

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

  it('pg_dump begins before its bytes are asked for; where nobody asks, it goes with the dump', async () => {
    const dump = await postgresEngine.dump(bench.source('big'), dumpRequest());
    const copying = async () =>
      bench.sql(
        'postgres',
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'dguard' AND query LIKE 'COPY public.big %'",
      );
    try {
      await expect.poll(async () => (await copying()).length, { timeout: 60_000 }).toBe(1);
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
    await expect.poll(scans, { timeout: 60_000 }).toBeGreaterThanOrEqual(before + 2);
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
    });
  },
  // Room for about 64 × 60 locks; the indexes alone are 6,000.
  { settings: { max_connections: '40' } },
);

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
