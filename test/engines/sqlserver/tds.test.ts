import { afterEach, describe, expect, it } from 'vitest';
import { listDatabases } from '../../../src/engines/sqlserver/databases.ts';
import { sqlserverEngine } from '../../../src/engines/sqlserver/engine.ts';
import { openServer } from '../../../src/engines/sqlserver/server/server.ts';
import { DguardError } from '../../../src/errors.ts';
import { sqlserverSource } from './support.ts';
import { type Answer, startTds, type TdsListener, type TdsOptions } from './support-tds.ts';

let listener: TdsListener | undefined;
afterEach(async () => {
  await listener?.stop();
  listener = undefined;
});

async function listen(options: TdsOptions = {}) {
  listener = await startTds(options);
  return listener;
}
const source = (port: number, more = {}) => sqlserverSource({ port, ...more });
const INFO = {
  version: '16.0.4125.3',
  edition: 'Developer Edition (64-bit)',
  engine: 3,
  name: 'MSSQL',
  data: '/var/opt/mssql/data/',
  logs: '/var/opt/mssql/data/',
  login: 'backup',
};
const serverAnswer = (batch: string): Answer | undefined => {
  if (batch.includes('ProductVersion')) return { rows: [INFO] };
  if (batch.includes('dm_os_sys_info'))
    return { rows: [{ uptime: 86_400, connections: 7, active: 2, most: 32_767 }] };
  if (batch.includes('sys.master_files')) return { rows: [{ bytes: '1099511627776' }] };
  return undefined;
};

describe('the status of a server that', () => {
  it('answers: version, uptime, connections, size', async () => {
    const { port } = await listen({ answer: serverAnswer });
    expect(await sqlserverEngine.probe(source(port))).toMatchObject({
      status: 'ok',
      serverVersion: '16.0.4125.3',
      sizeBytes: 1_099_511_627_776,
      facts: { uptime_seconds: 86_400, connections: 7, active_queries: 2, max_connections: 32_767 },
    });
  });

  it('does not show its activity to this login: ok all the same', async () => {
    const denied = { errors: [{ number: 300, message: 'VIEW SERVER STATE permission was denied' }] };
    const { port } = await listen({
      answer: (batch) => (batch.includes('dm_os_sys_info') ? denied : serverAnswer(batch)),
    });
    const health = await sqlserverEngine.probe(source(port));
    expect(health).toMatchObject({ status: 'ok', facts: { edition: INFO.edition } });
    expect(health.facts).not.toHaveProperty('connections');
  });

  it.each([
    [18456, "Login failed for user 'backup'.", 'auth_failed'],
    [18488, 'The password must be changed.', 'auth_failed'],
    [4060, 'Cannot open database "app" requested by the login. The login failed.', 'error'],
    [17142, 'SQL Server service has been paused.', 'error'],
  ])('refuses the login with %i: %s', async (number, message, status) => {
    const { port } = await listen({ login: { errors: [{ number, message }] } });
    const health = await sqlserverEngine.probe(source(port));
    expect(health).toMatchObject({ status, message: expect.stringContaining(`Msg ${number}: ${message}`) });
    expect(JSON.stringify(health)).not.toContain('the secret of the test');
  });

  it('is not there', async () => {
    const { port, stop } = await startTds();
    await stop();
    expect(await sqlserverEngine.probe(source(port))).toMatchObject({ status: 'unreachable' });
    expect(await sqlserverEngine.probe(source(1433, { host: 'no-such-host.invalid' }))).toMatchObject({
      status: 'unreachable',
    });
  });

  it('hangs up during the login', async () => {
    const { port } = await listen({ login: { hangUp: true } });
    expect(await sqlserverEngine.probe(source(port))).toMatchObject({ status: 'unreachable' });
  });

  it('never answers: given up when it is told to', async () => {
    const { port } = await listen({ login: { silent: true } });
    const limit = new AbortController();
    setTimeout(() => limit.abort(new DguardError('timeout', 'timed out: no answer within 1s')), 300);
    const begun = performance.now();
    const health = await sqlserverEngine.probe(sqlserverSource({ port }, [], limit.signal));
    expect(health).toMatchObject({ status: 'timeout' });
    expect(performance.now() - begun).toBeLessThan(8_000);
  });

  it.each(['require', 'verify-ca', 'verify-full'] as const)(
    'has no encryption, with ssl: %s: the password is not sent',
    async (ssl) => {
      const { port } = await listen({ encryption: 2 });
      const health = await sqlserverEngine.probe(source(port, { ssl }));
      expect(health).toMatchObject({ status: 'error', message: expect.stringMatching(/no encryption/) });
      expect(listener!.logins).toBe(0);
    },
  );
});

describe('a session', () => {
  it('reads rows by name, nulls among them, and quotes nothing away', async () => {
    const rows = [
      { a: 'x', n: 1, b: true },
      { a: null, n: null, b: null },
      { a: 'ä €\u{1f600}', n: -2_147_483_648, b: false },
    ];
    const { port } = await listen({ answer: (batch) => (batch === 'SELECT 1' ? { rows } : undefined) });
    const session = await openServer(source(port)).open();
    expect(await session.rows('SELECT 1')).toEqual(rows);
    expect(await session.rows('SELECT nothing')).toEqual([]);
    await session.close();
  });

  it('streams many rows in their order, and can be left in the middle', async () => {
    const rows = Array.from({ length: 5_000 }, (_, n) => ({ n, t: `row ${n}` }));
    const { port } = await listen({ answer: (batch) => (batch.startsWith('SELECT') ? { rows } : undefined) });
    const session = await openServer(source(port)).open();
    let seen = 0;
    for await (const [n, text] of session.stream('SELECT all')) {
      expect(n).toBe(seen);
      expect(text).toBe(`row ${seen}`);
      seen++;
    }
    expect(seen).toBe(5_000);
    for await (const [n] of session.stream('SELECT all')) if (n === 10) break;
    expect(await session.rows('SELECT again')).toHaveLength(5_000);
    await session.close();
  });

  it('tells an error with its number, the first of several as the cause', async () => {
    const errors = [
      { number: 3201, message: "Cannot open backup device 'D:\\x.bak'. Operating system error 5." },
      { number: 3013, message: 'BACKUP DATABASE is terminating abnormally.' },
    ];
    const { port } = await listen({
      answer: (batch) => (batch.startsWith('BACKUP') ? { errors } : undefined),
    });
    const session = await openServer(source(port)).open();
    await expect(session.run('BACKUP x')).rejects.toThrow();
    const { serverError } = await import('../../../src/engines/sqlserver/server/failures.ts');
    const error = serverError(
      await session.run('BACKUP x').catch((e: unknown) => e),
      'source_failed',
      'dump',
      'ms',
    );
    expect(error.message).toBe(`Msg 3201: ${errors[0]!.message} ${errors[1]!.message}`);
    expect(error.hint).toMatch(/server's own account/);
    // The connection is as good as before.
    expect(await session.rows('SELECT 1')).toEqual([]);
    await session.close();
  });

  it('is broken by an abort, while it waits for an answer', async () => {
    const { port } = await listen({ answer: (batch) => (batch === 'WAIT' ? { silent: true } : undefined) });
    const abort = new AbortController();
    const session = await openServer(sqlserverSource({ port }, [], abort.signal)).open();
    const waiting = session.rows('WAIT');
    setTimeout(() => abort.abort(new DguardError('interrupted', 'interrupted')), 100);
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
  });
});

it('database: all leaves out what is the server’s own, and dguard’s', async () => {
  const names = ['app', 'app__dg_undo_0a1b2c3d', 'master', 'model', 'msdb', 'Shop', 'tempdb'];
  const { port } = await listen({
    answer: (batch) =>
      batch.includes('sys.databases') ? { rows: names.map((name) => ({ name })) } : undefined,
  });
  expect(await listDatabases(source(port, { database: [], all_databases: true }))).toEqual(['app', 'Shop']);
});
