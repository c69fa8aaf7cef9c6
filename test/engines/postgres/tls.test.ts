import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { PostgresOptions } from '../../../src/engines/postgres/options.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithCommands, describeWithPostgres } from '../../services/needs.ts';
import { certificatesIn } from '../support-certificates.ts';
import { type Bench, backUp, makeBench } from './support.ts';

describeWithCommands(['openssl', 'chown'], 'postgres: TLS', () =>
  describeWithPostgres(17, 'a server of its own authority', (server) => {
    let bench: Bench;
    /** What a server without TLS says. */
    let without: { is: string; message: string };
    const { path, authority, certify } = certificatesIn(() => bench.folder);

    beforeAll(async () => {
      bench = await makeBench(server());
      chmodSync(bench.folder, 0o755);
      authority('ca');
      authority('stranger');
      certify('server', 'localhost', 'subjectAltName=DNS:localhost\n');
      certify('client', server().user);
      for (const name of ['server.key', 'server.pem', 'ca.pem'])
        execFileSync('chown', [server().user, path(name)]);
      await bench.database('app', 'CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)');
      await bench.database('guarded', 'CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)');
      await bench.database('clear', 'CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)');
      without = await status({ ssl: 'require' });
      const [hba] = await bench.sql('postgres', 'SHOW hba_file');
      writeFileSync(
        hba!['hba_file'] as string,
        `hostssl clear all 127.0.0.1/32 reject
hostnossl clear all 127.0.0.1/32 scram-sha-256
hostssl guarded all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all all 127.0.0.1/32 scram-sha-256\n`,
      );
      for (const [setting, value] of [
        ['ssl_cert_file', path('server.pem')],
        ['ssl_key_file', path('server.key')],
        ['ssl_ca_file', path('ca.pem')],
        ['ssl', 'on'],
      ])
        await bench.sql('postgres', `ALTER SYSTEM SET ${setting} = '${value}'`);
      await bench.sql('postgres', 'SELECT pg_reload_conf()');
    });
    afterAll(() => bench?.remove());

    const app = (options: Partial<PostgresOptions>) => bench.source('app', options);
    const status = async (options: Partial<PostgresOptions>, database = 'app') => {
      const { status: is, message = '' } = await postgresEngine.probe(bench.source(database, options));
      return { is, message };
    };

    it('verify-full: an authority of our own, and the name that the server is called by', async () => {
      const options = { host: 'localhost', ssl: 'verify-full', ssl_ca: path('ca.pem') } as const;
      await expect.poll(() => status(options)).toMatchObject({ is: 'ok' });
      // The driver and the client tools alike.
      const content = await backUp(app(options));
      expect(content.facts.rows).toBe(2);
      const request = { source: app(options), scratch: true };
      const { tables } = await postgresEngine.restore(content, bench.request('app', request));
      expect(tables).toEqual([{ name: 'public.t', rows: 2 }]);
    });

    it('verify-full: another name, another authority, or none, is an error that says so', async () => {
      const named = await status({ host: '127.0.0.1', ssl: 'verify-full', ssl_ca: path('ca.pem') });
      expect(named.is).toBe('error');
      expect(named.message).toContain("IP: 127.0.0.1 is not in the cert's list");
      expect(named.message).toContain('verify-ca');
      const checked = { host: '127.0.0.1', ssl: 'verify-ca', ssl_ca: path('ca.pem') } as const;
      expect(await status(checked)).toMatchObject({ is: 'ok' });
      const stranger = await status({ host: 'localhost', ssl: 'verify-full', ssl_ca: path('stranger.pem') });
      expect(stranger.is).toBe('error');
      expect(stranger.message).toContain('ssl_ca');
      // The system's authorities do not know ours.
      expect(await status({ host: 'localhost', ssl: 'verify-full' })).toMatchObject({ is: 'error' });
      const missing = await errorOf(backUp(app({ ssl: 'verify-ca', ssl_ca: path('nothing.pem') })));
      expect(missing).toMatchObject({ code: 'config_invalid', exitStatus: 2 });
      expect(missing.message).toMatch(/ssl_ca cannot be read: .*nothing\.pem/);
    });

    it('require encrypts without asking who it is; a server that insists refuses what is in clear', async () => {
      expect(await status({ ssl: 'require' })).toMatchObject({ is: 'ok' });
      expect(await status({ ssl: 'prefer' })).toMatchObject({ is: 'ok' });
      const clear = await status({ ssl: 'disable' });
      expect(clear.is).toBe('auth_failed');
      expect(clear.message).toContain('no encryption');
    });

    it('prefer does without where TLS is refused, as libpq does; whoever asks for TLS is told', async () => {
      const clear = bench.source('clear', { ssl: 'prefer' });
      expect((await backUp(clear)).facts.rows).toBe(2);
      expect(await status({ ssl: 'require' }, 'clear')).toMatchObject({ is: 'auth_failed' });
      expect(without.is).toBe('error');
      expect(without.message).toContain('does not support SSL connections; turn TLS on at the server');
    });

    it('a client certificate gets in where one is asked for', async () => {
      const base = { host: 'localhost', ssl: 'verify-full', ssl_ca: path('ca.pem') } as const;
      const refused = await status(base, 'guarded');
      expect(refused.is).toBe('auth_failed');
      expect(refused.message).toContain('ssl_cert');
      const options = { ...base, ssl_cert: path('client.pem'), ssl_key: path('client.key') };
      expect((await backUp(bench.source('guarded', options))).facts.rows).toBe(2);
    });
  }),
);
