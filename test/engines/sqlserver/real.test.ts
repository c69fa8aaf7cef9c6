import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { SqlserverOptions } from '../../../src/engines/sqlserver/engine.ts';
import { sqlserverEngine } from '../../../src/engines/sqlserver/engine.ts';
import { openServer } from '../../../src/engines/sqlserver/server/server.ts';
import type { DumpRequest, RestoreRequest } from '../../../src/engines/types.ts';
import { backUpBy, dumpRequest, inspectIn, RESTORE_ALL } from '../support.ts';
import { sqlserverSource } from './support.ts';

/**
 * Against a real server, where there is one:
 *   DGUARD_TEST_SQLSERVER_URL=mssql://sa:password@host:1433
 *   DGUARD_TEST_SQLSERVER_PATHS=/var/opt/mssql/backup:/mnt/backup   (server_path:local_path, for native backups)
 */
const URL_TEXT = process.env['DGUARD_TEST_SQLSERVER_URL'];
const [SERVER_PATH, LOCAL_PATH] = (process.env['DGUARD_TEST_SQLSERVER_PATHS'] ?? '').split(':');
const NAME = 'dguard_test_app';
const TYPES = `
  CREATE TABLE dbo.[ev]]ery] (id bigint IDENTITY(10, 5) NOT NULL CONSTRAINT pk_every PRIMARY KEY, ti tinyint, si smallint,
    n int, d decimal(38, 10), m money, f float, r real, b bit, c char(3), v varchar(max), nc nchar(2), nv nvarchar(40),
    x xml, u uniqueidentifier, da date, t time(7), dt datetime, d2 datetime2(7), sd smalldatetime,
    dto datetimeoffset(7), bi binary(4), vb varbinary(max), rv rowversion, twice AS (n * 2), h hierarchyid);
  INSERT INTO dbo.[ev]]ery] (ti, si, n, d, m, f, r, b, c, v, nc, nv, x, u, da, t, dt, d2, sd, dto, bi, vb, h) VALUES
    (255, -32768, -2147483648, 1234567890123456789012345678.0123456789, -922337203685477.5808, 1.7976931348623157e308,
      1.17549435e-38, 1, 'a', REPLICATE('x', 9000), N'ä', N'"\\' + NCHAR(10) + NCHAR(8232), '<a b="1"> t </a>', NEWID(),
      '0001-01-01', '23:59:59.9999999', '9999-12-31T23:59:59.997', '9999-12-31T23:59:59.9999999', '2079-06-06T23:59',
      '2026-01-02T03:04:05.1234567-08:00', 0x00FF, 0x, '/1/2/'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
      NULL, NULL, NULL, NULL)`;

describe.skipIf(URL_TEXT === undefined)(
  `sqlserver: against a real server${URL_TEXT === undefined ? ' [needs DGUARD_TEST_SQLSERVER_URL: no SQL Server can be installed here]' : ''}`,
  () => {
    let folder: string;
    const source = (database: string, more: Partial<SqlserverOptions> = {}) => {
      const { host: _h, username: _u, password: _p, ...bare } = sqlserverSource({}).options;
      const options = {
        ...bare,
        uri: new Secret(URL_TEXT!),
        database: [database],
        ...(SERVER_PATH && LOCAL_PATH ? { server_path: SERVER_PATH, local_path: LOCAL_PATH } : {}),
        ...more,
      } as SqlserverOptions;
      return { ...sqlserverSource({}), options, tempDir: folder };
    };
    const sql = async (database: string, ...batches: string[]) => {
      const session = await openServer(source(database)).open(database);
      try {
        for (const batch of batches.slice(0, -1)) await session.run(batch);
        return await session.rows(batches.at(-1)!);
      } finally {
        await session.close();
      }
    };
    const backUp = (format: DumpRequest['format']) =>
      backUpBy(sqlserverEngine, source(NAME), dumpRequest({ format }));
    const request = (
      more: Partial<RestoreRequest<SqlserverOptions>> = {},
    ): RestoreRequest<SqlserverOptions> => ({
      ...source(NAME),
      source: source(NAME),
      ...RESTORE_ALL,
      ...more,
    });
    const drop = async () => {
      const left = await sql('master', `SELECT name FROM sys.databases WHERE name LIKE N'${NAME}%'`);
      for (const { name } of left as { name: string }[])
        await sql(
          'master',
          `ALTER DATABASE [${name}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE; DROP DATABASE [${name}]`,
        );
    };
    const picture = () =>
      sql(
        NAME,
        'SELECT (SELECT CHECKSUM_AGG(BINARY_CHECKSUM(*)) FROM dbo.[ev]]ery]) AS a, (SELECT COUNT(*) FROM dbo.v) AS b',
      );

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'dguard-mssql-real-'));
      await drop();
      await sql(
        'master',
        `CREATE DATABASE ${NAME}`,
        `ALTER DATABASE ${NAME} SET ALLOW_SNAPSHOT_ISOLATION ON`,
      );
      await sql(NAME, TYPES, 'CREATE VIEW dbo.v AS SELECT id FROM dbo.[ev]]ery]', 'SELECT 1 AS one');
    });
    afterAll(async () => {
      await drop();
      rmSync(folder, { recursive: true, force: true });
    });

    it('probe and doctor', async () => {
      expect(await sqlserverEngine.probe(source(NAME))).toMatchObject({ status: 'ok' });
      const wrong = await sqlserverEngine.probe(source(NAME, { password: new Secret('wrong') }));
      expect(wrong).toMatchObject({ status: 'auth_failed' });
      const findings = await sqlserverEngine.diagnose!(source(NAME), {});
      expect(findings.filter(({ severity }) => severity === 'problem')).toEqual([]);
    });

    it.each(['jsonl', ...(SERVER_PATH ? ['native' as const] : [])] as const)(
      '%s: test restore, in place, back by undo',
      async (format) => {
        const before = await picture();
        const content = await backUp(format);
        const inspect = inspectIn(folder);
        expect(await sqlserverEngine.inspect(content, inspect)).toEqual([]);
        await sqlserverEngine.restore(content, request({ scratch: true }));
        await expect(sqlserverEngine.restore(content, request())).rejects.toMatchObject({
          code: 'target_refused',
        });
        await sql(NAME, 'DELETE dbo.[ev]]ery]', 'SELECT 1 AS one');
        const { undo } = await sqlserverEngine.restore(content, request({ overwrite: true }));
        expect(await picture()).toEqual(before);
        const swaps = sqlserverEngine.swaps!;
        expect((await swaps.undoCopies(request())).map(({ name }) => name)).toEqual([undo]);
        await swaps.undo(request());
        expect(await picture()).not.toEqual(before);
        await swaps.undo(request());
        expect(await swaps.dropUndo(request(), 0)).toHaveLength(1);
        expect(await swaps.recover(request())).toEqual([]);
        const left = await sql('master', `SELECT name FROM sys.databases WHERE name LIKE N'${NAME}%'`);
        expect(left).toEqual([{ name: NAME }]);
      },
    );
  },
);
