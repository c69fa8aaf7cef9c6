import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { StreamMember } from '../../../src/engines/member.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { DguardError } from '../../../src/errors.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres, describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, dumpRequest, makeBench } from './support.ts';
import { BIG, childPid, inTheMiddle } from './support-dump.ts';

describeWithEachPostgres('postgres: a dump that cannot go on', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database('big', BIG);
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

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

  it.each(['native', 'jsonl'] as const)('%s: a damaged row is called one, with its table', async (format) => {
    // As text, what is four bytes of a zero has a length of -4.
    await bench.database('damaged', 'CREATE TABLE bad (v int); INSERT INTO bad VALUES (0)');
    await bench.sql(
      'damaged',
      `UPDATE pg_attribute SET atttypid = 'text'::regtype, attlen = -1, attbyval = false, attstorage = 'x', attcollation = 100
       WHERE attrelid = 'bad'::regclass AND attname = 'v'`,
    );
    const error = await errorOf(backUp(bench.source('damaged'), { format }));
    expect(error).toMatchObject({
      code: 'source_failed',
      message: expect.stringMatching(
        /bad.*invalid (memory alloc request size \d{11}|string enlargement request size: -)/s,
      ),
      hint: expect.stringContaining('pg_amcheck'),
    });
  });

  it("a role's own statement_timeout does not end a dump", async () => {
    await bench.sql(
      'postgres',
      "CREATE ROLE hasty SUPERUSER LOGIN PASSWORD 'pw'; ALTER ROLE hasty SET statement_timeout = 1; ALTER ROLE hasty SET row_security = on",
    );
    const source = bench.source('big', { username: 'hasty', password: new Secret('pw') });
    expect((await backUp(source)).facts.rows).toBe(100_000);
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
});

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

async function consume(members: AsyncIterable<unknown>): Promise<void> {
  for await (const member of members) for await (const _ of (member as StreamMember).open());
}
