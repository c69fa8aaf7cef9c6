import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { StreamMember } from '../../../src/engines/member.ts';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { collect } from '../../archive/support.ts';
import { errorOf } from '../../error-of.ts';
import { type Bench, backUp, describeWithEachMysql, dumpRequest, makeBench } from './support.ts';

const FILLER = 'REPEAT(SHA2(RAND(), 256), 15)';
const BIG = `CREATE TABLE big (id INT AUTO_INCREMENT PRIMARY KEY, filler TEXT);
INSERT INTO big (filler) VALUES (${FILLER}), (${FILLER}), (${FILLER}), (${FILLER});
${'INSERT INTO big (filler) SELECT CONCAT(filler, id) FROM big LIMIT 20000;\n'.repeat(14)}CREATE TABLE zz (id INT PRIMARY KEY);
INSERT INTO zz VALUES (1)`;

/** Our children whose program is a dump tool. */
function dumpPids(): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const ours = status.includes(`PPid:\t${process.pid}\n`);
      return ours && /^Name:\s+(mysqldump|mariadb-dump)$/m.test(status) ? [Number(pid)] : [];
    } catch {
      return [];
    }
  });
}

/** Dumps a database and does something after the first bytes, while nobody can write on. */
async function inTheMiddle(
  bench: Bench,
  act: () => unknown,
  options = {},
  database = 'dgd_big',
): Promise<void> {
  const dump = await mysqlEngine.dump(bench.source(database, options), dumpRequest());
  try {
    for await (const member of dump.members()) {
      let acted = false;
      for await (const _ of (member as StreamMember).open()) {
        if (acted) continue;
        acted = true;
        await act();
      }
    }
    await dump.facts();
  } finally {
    await dump.close();
  }
}

describeWithEachMysql('mysql: dump', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgd_');
    await bench.database('dgd_big', BIG);
    // Without transactions: its rows are the dump tool's to read.
    await bench.database(
      'dgd_tool',
      'CREATE TABLE old (id INT, filler TEXT) ENGINE=MyISAM;\nINSERT INTO old SELECT * FROM dgd_big.big',
    );
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

  it('both tables agree, and the counts are those of the dump, under a writer of both in one transaction', async () => {
    await bench.database(
      'dgd_pair',
      `CREATE TABLE a (n INT, f TEXT) ENGINE=InnoDB;
CREATE TABLE b (n INT) ENGINE=InnoDB;
CREATE TABLE m (f TEXT) ENGINE=InnoDB;
INSERT INTO m SELECT filler FROM dgd_big.big LIMIT 8000`,
    );
    let running = true;
    let written = 0;
    const writer = (async () => {
      while (running) {
        written++;
        const rows = (text: string) => Array(10).fill(text).join(', ');
        await bench.sql(
          'dgd_pair',
          `START TRANSACTION; INSERT INTO a VALUES ${rows(`(${written}, 'x')`)}; INSERT INTO b VALUES ${rows(`(${written})`)}; COMMIT`,
        );
      }
    })();
    try {
      for (const round of [1, 2]) {
        const before = written;
        const content = await backUp(bench.source('dgd_pair'), { parallelJobs: round === 1 ? 1 : 3 });
        expect(written).toBeGreaterThan(before);
        expect(content.facts.engine).toMatchObject({ counts: 'exact' });
        const target = `dgd_pair_${round}`;
        // Compared with what was recorded: exact, or the restore fails.
        const { tables } = await mysqlEngine.restore(
          content,
          bench.request('dgd_pair', { toDatabase: target }),
        );
        const rows = Object.fromEntries(tables!.map((table) => [table.name, table.rows]));
        expect(rows['a']).toBe(rows['b']);
        expect(rows['a']).toBeGreaterThan(0);
      }
      expect(bench.warnings).toEqual([]);
    } finally {
      running = false;
      await writer;
    }
  });

  it('names its facts, and the same data makes the same bytes', async () => {
    const read = async () => {
      const dump = await mysqlEngine.dump(bench.source('dgd_big'), dumpRequest());
      try {
        const bytes: Buffer[] = [];
        for await (const member of dump.members()) bytes.push(await collect((member as StreamMember).open()));
        return { dump, facts: await dump.facts(), bytes: Buffer.concat(bytes) };
      } finally {
        await dump.close();
      }
    };
    const { dump, facts, bytes } = await read();
    expect(dump.identity).toMatch(/^(mariadb-[0-9a-f]{32}|[0-9a-f-]{36})\/dgd_big$/);
    expect(facts).toMatchObject({ consistency: 'snapshot', tables_count: 2 });
    expect(facts.rows).toBeGreaterThan(10_000);
    expect(facts.schema_sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(facts.tool_version!.includes('MariaDB')).toBe(server().flavour === 'mariadb');
    expect(bytes.equals((await read()).bytes)).toBe(true);
    // A server with transactions of its own takes no script that says which it has had.
    expect(bytes.includes('GTID')).toBe(false);
  });

  it('a dump tool killed in the middle fails the dump', async () => {
    const error = await errorOf(
      inTheMiddle(
        bench,
        () => {
          expect(dumpPids().length).toBeGreaterThan(0);
          for (const pid of dumpPids()) process.kill(pid, 'SIGKILL');
        },
        {},
        'dgd_tool',
      ),
    );
    expect(error).toMatchObject({ code: 'source_failed', subject: 'app/dgd_tool' });
    expect(error.message).toContain('killed by SIGKILL');
  });

  it('a connection that the server ends in the middle fails the dump', async () => {
    const error = await errorOf(
      inTheMiddle(
        bench,
        async () => {
          // Its SELECT may not be there yet, or not again: the tool asks one thing after the other.
          let rows: Record<string, unknown>[] = [];
          await expect
            .poll(async () => {
              rows = await bench.sql(
                undefined,
                "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE DB = 'dgd_tool' AND ID <> CONNECTION_ID()",
              );
              return rows.length;
            })
            .toBeGreaterThan(0);
          for (const { id } of rows) await bench.sql(undefined, `KILL CONNECTION ${id}`).catch(() => {});
        },
        {},
        'dgd_tool',
      ),
    );
    expect(error.code).toBe('source_failed');
    expect(error.hint, error.message).toBeTruthy();
  });

  it('a table dropped or altered in the middle fails the dump, with what to do', async () => {
    for (const statement of [
      'DROP TABLE zz',
      'ALTER TABLE zz ADD COLUMN more INT NOT NULL DEFAULT 1',
      'TRUNCATE TABLE zz',
    ]) {
      await bench.sql(
        'dgd_big',
        'DROP TABLE IF EXISTS zz; CREATE TABLE zz (id INT PRIMARY KEY); INSERT INTO zz VALUES (1)',
      );
      const error = await errorOf(
        inTheMiddle(bench, () => bench.sql('dgd_big', statement)),
        statement,
      );
      expect(error.code, statement).toBe('source_failed');
      expect(`${error.hint} ${error.message}`, statement).toMatch(/run (it|the backup) again/);
    }
    await bench.sql(
      'dgd_big',
      'DROP TABLE IF EXISTS zz; CREATE TABLE zz (id INT PRIMARY KEY); INSERT INTO zz VALUES (1)',
    );
  });

  it('no password is in arguments or environment of any process while a dump runs, nor readable by others, nor left', async () => {
    const { password } = server();
    const temp = join(bench.folder, 'temp');
    let looked = 0;
    await inTheMiddle(bench, () => {
      for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
        for (const file of ['cmdline', 'environ']) {
          try {
            const text = readFileSync(`/proc/${pid}/${file}`, 'latin1');
            if (pid === String(process.pid) && file === 'environ') continue;
            expect(text.includes(password), `${pid} ${file}`).toBe(false);
            looked++;
          } catch (error) {
            if (
              !(error instanceof Error) ||
              !/^E(NOENT|SRCH|ACCES)/.test((error as NodeJS.ErrnoException).code ?? '')
            )
              throw error;
          }
        }
      }
      const [folder] = readdirSync(temp).map((name) => join(temp, name));
      expect(statSync(folder!).mode & 0o777).toBe(0o700);
      for (const name of readdirSync(folder!)) expect(statSync(join(folder!, name)).mode & 0o777).toBe(0o600);
    });
    expect(looked).toBeGreaterThan(10);
    expect(readdirSync(temp)).toEqual([]);
  });

  it('tells wrong password, no server, no answer and no such database apart', async () => {
    const probe = (options: object, database = 'dgd_big') =>
      mysqlEngine.probe(bench.source(database, options));
    expect(await probe({})).toMatchObject({
      status: 'ok',
      facts: { flavour: server().flavour === 'mysql' ? 'MySQL' : 'MariaDB' },
    });
    expect(await probe({ password: new Secret('wrong') })).toMatchObject({ status: 'auth_failed' });
    expect(await probe({ port: 1 })).toMatchObject({ status: 'unreachable' });
    expect(await probe({}, 'dgd_none')).toMatchObject({ status: 'error' });
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = silent.address() as { port: number };
      expect(await probe({ port })).toMatchObject({ status: 'timeout' });
    } finally {
      silent.close();
    }
    const error = await errorOf(
      mysqlEngine.dump(bench.source('dgd_big', { password: new Secret('wrong-one') }), dumpRequest()),
    );
    expect(error).toMatchObject({ code: 'source_failed' });
    expect(`${error.message} ${error.hint}`).not.toContain('wrong-one');
    expect(await errorOf(mysqlEngine.dump(bench.source('dgd_none'), dumpRequest()))).toMatchObject({
      code: 'source_failed',
    });
  });

  it('warns of tables without transactions, and says that nothing keeps them consistent', async () => {
    await bench.database('dgd_old', 'CREATE TABLE t (n INT) ENGINE=MyISAM;\nCREATE TABLE i (n INT)');
    const content = await backUp(bench.source('dgd_old'));
    expect(content.facts.consistency).toBe('none');
    expect(bench.warnings.map(({ message }) => message).join()).toMatch(/t \(MyISAM\)/);
  });

  it('leaves out the rows of excluded tables, keeps their definitions, and leaves out excluded views', async () => {
    await bench.database(
      'dgd_sel',
      `CREATE TABLE keep_me (n INT);
CREATE TABLE log_a (n INT);
INSERT INTO keep_me VALUES (1), (2);
INSERT INTO log_a VALUES (1);
CREATE VIEW both_tables AS SELECT k.n FROM keep_me k, log_a l;
CREATE VIEW log_view AS SELECT * FROM log_a`,
    );
    const content = await backUp(bench.source('dgd_sel'), { exclude: ['log_*'] });
    expect(content.patterns).toEqual({ include: [], exclude: ['log_*'] });
    const { tables } = await mysqlEngine.restore(
      content,
      bench.request('dgd_sel', { toDatabase: 'dgd_sel_2' }),
    );
    expect(tables).toEqual([{ name: 'keep_me', rows: 2 }]);
    expect(await bench.sql('dgd_sel_2', 'SELECT * FROM log_a')).toEqual([]);
    expect(await bench.sql('dgd_sel_2', "SHOW TABLES LIKE 'log_view'")).toEqual([]);
    expect(await bench.sql('dgd_sel_2', 'SELECT * FROM both_tables')).toEqual([]);
    expect(await errorOf(backUp(bench.source('dgd_sel'), { include: ['nothing*'] }))).toMatchObject({
      code: 'source_empty',
    });
  });

  it('an account that would not see triggers or events is refused, with the GRANT; a view that is broken is named', async () => {
    await bench.sql(
      undefined,
      "DROP USER IF EXISTS 'dgd_small'@'%'; CREATE USER 'dgd_small'@'%' IDENTIFIED BY 'small-pass-1'; GRANT SELECT ON dgd_sel.* TO 'dgd_small'@'%'",
    );
    const options = { username: 'dgd_small', password: new Secret('small-pass-1') };
    const error = await errorOf(mysqlEngine.dump(bench.source('dgd_sel', options), dumpRequest()));
    expect(error.hint).toBe("GRANT SHOW VIEW, TRIGGER, EVENT ON `dgd_sel`.* TO 'dgd_small'@'%'");
    await bench.sql(undefined, error.hint!);
    // It may not hold up commits, and need not: what is written is counted.
    const content = await backUp(bench.source('dgd_sel', options));
    expect(content.facts.engine).toMatchObject({ counts: 'exact' });
    await bench.sql('dgd_sel', 'CREATE TABLE by_tool (n INT) ENGINE=MyISAM');
    const mixed = await backUp(bench.source('dgd_sel', options));
    expect(mixed.facts.engine).toMatchObject({ counts: 'approximate' });
    await bench.sql('dgd_sel', 'DROP TABLE log_a');
    const broken = await errorOf(backUp(bench.source('dgd_sel')));
    expect(broken.message).toMatch(/both_tables|log_view/);
    expect(broken.hint).toMatch(/exclude_tables/);
  });

  it('all databases: without those of the server and those that dguard marked', async () => {
    await bench.database(
      'dgd_marked',
      'CREATE TABLE __dguard_mark (id VARCHAR(64) PRIMARY KEY, doc LONGTEXT)',
    );
    const all = await mysqlEngine.databases!(bench.source([], { all_databases: true }));
    expect(all).toContain('dgd_big');
    for (const name of ['mysql', 'sys', 'information_schema', 'performance_schema', 'dgd_marked'])
      expect(all).not.toContain(name);
  });

  it('client_command: the tools run elsewhere, the option file is put there and taken away', async () => {
    await bench.database('dgd_cmd', 'CREATE TABLE t (n INT);\nINSERT INTO t VALUES (7)');
    const before = readdirSync('/tmp').filter((name) => name.startsWith('.dguard-'));
    const options = {
      client_path: [],
      client_command: ['env', `PATH=${server().bin ?? ''}:${process.env['PATH']}`],
    };
    const content = await backUp(bench.source('dgd_cmd', options));
    const source = bench.source('dgd_cmd', options);
    await mysqlEngine.restore(content, bench.request('dgd_cmd', { source, toDatabase: 'dgd_cmd_2' }));
    expect(await bench.sql('dgd_cmd_2', 'SELECT n FROM t')).toEqual([{ n: 7 }]);
    expect(readdirSync('/tmp').filter((name) => name.startsWith('.dguard-'))).toEqual(before);
    const none = { client_path: [], client_command: ['env', 'PATH=/nowhere'] };
    expect(await errorOf(backUp(bench.source('dgd_cmd', none)))).toMatchObject({
      code: expect.stringMatching(/^tool_/),
    });
  });
});
