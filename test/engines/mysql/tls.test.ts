import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import type { MysqlOptions } from '../../../src/engines/mysql/options.ts';
import { errorOf } from '../../error-of.ts';
import { type MysqlServer, mysqlPrograms, startMysql } from '../../services/mysql.mjs';
import { describeWithCommands } from '../../services/needs.ts';
import { certificatesIn } from '../support-certificates.ts';
import { type Bench, backUp, dumpRequest, makeBench } from './support.ts';

const NAME = 'mariadb-10.11';
const describeHere = mysqlPrograms(NAME) === undefined ? describe.skip : describe;

describeWithCommands(['openssl'], 'mysql: TLS', () =>
  describeHere(`a server that is called by its address [${NAME}, needs npm run services]`, () => {
    let bench: Bench;
    let server: MysqlServer;
    let folder: string;
    const { path, authority, certify } = certificatesIn(() => folder);
    /** The server shows that certificate from now on. */
    const show = async (name: string) => {
      await server?.halt();
      for (const end of ['key', 'pem']) {
        copyFileSync(path(`${name}.${end}`), path(`server.${end}`));
        chmodSync(path(`server.${end}`), 0o644);
      }
      await server?.resume();
    };
    const source = (more: Partial<MysqlOptions>) =>
      bench.source('dgt_app', { host: '127.0.0.1', ssl: 'verify-full', ssl_ca: path('ca.pem'), ...more });

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'dguard-mysql-tls-'));
      chmodSync(folder, 0o755);
      authority('ca');
      certify('address', 'db.example', 'subjectAltName=IP:127.0.0.1\n');
      certify('name', 'db.example', 'subjectAltName=DNS:localhost\n');
      await show('address');
      server = await startMysql(NAME, {
        settings: { 'ssl-ca': path('ca.pem'), 'ssl-cert': path('server.pem'), 'ssl-key': path('server.key') },
      });
      bench = await makeBench(server);
      await bench.database('dgt_app', 'CREATE TABLE t (n INT PRIMARY KEY)');
    });
    afterAll(async () => {
      await bench?.remove();
      await server?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    it('is believed where its certificate has the address, over each of several connections', async () => {
      for (const parallelJobs of [1, 4]) {
        const content = await backUp(source({}), { parallelJobs });
        expect(content.facts.tables_count).toBe(1);
      }
    });

    it("is not believed where its certificate is localhost's, which is another name", async () => {
      await show('name');
      const error = await errorOf(mysqlEngine.dump(source({}), dumpRequest({ format: 'jsonl' })));
      expect(error).toMatchObject({ code: 'source_failed', hint: expect.stringContaining('ssl: verify-ca') });
      expect(error.message).toContain('127.0.0.1');
      const health = await mysqlEngine.probe(source({ host: 'localhost' }));
      expect(health).toMatchObject({ status: 'ok' });
    });

    it('says what to do where only the dump tool does not believe it', async () => {
      await show('name');
      expect(await mysqlEngine.probe(source({ ssl: 'verify-ca' }))).toMatchObject({ status: 'ok' });
      const error = await errorOf(backUp(source({ ssl: 'verify-ca' })));
      expect(error).toMatchObject({
        code: 'source_failed',
        hint: expect.stringContaining('call the server by a name of it (host)'),
      });
    });
  }),
);
