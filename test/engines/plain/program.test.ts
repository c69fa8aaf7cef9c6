import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Document, type Outcome, runDguard } from '../../cli/support.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { describeWithMysql, type Bench as MysqlBench, makeBench as makeMysql } from '../mysql/support.ts';
import { makeBench as makePostgres, type Bench as PostgresBench } from '../postgres/support.ts';
import {
  MYSQL_PICTURE,
  MYSQL_TABLES,
  POSTGRES_PICTURE,
  POSTGRES_TABLES,
  SQLITE_PICTURE,
  SQLITE_TABLES,
} from './support.ts';

type Kind = 'pg' | 'my' | 'lite';

describeWithPostgres(17, 'plain tables between engines', (postgres) => {
  for (const flavour of ['mariadb-11.8', 'mysql-9.7'] as const) {
    describeWithMysql([flavour], 'with', ([mysql]) => {
      let pg: PostgresBench;
      let my: MysqlBench;
      let folder: string;
      const run = (...args: string[]): Promise<Outcome> =>
        runDguard([...args, '--no-progress'], { cwd: folder });
      const good = async (...args: string[]): Promise<string> => {
        const { code, stdout, stderr } = await run(...args);
        expect(code, `${args.join(' ')}\n${stderr}${stdout}`).toBe(0);
        return stdout + stderr;
      };
      const refused = async (...args: string[]) => {
        const outcome = await run(...args, '--json');
        const { errors } = JSON.parse(outcome.stdout) as Document;
        return { ...errors[0]!, exit: outcome.code };
      };
      const place = { pg: 'app', my: 'dgx_app', lite: 'app.db' };
      const copy = { pg: 'app_copy', my: 'dgx_copy', lite: 'copy.db' };
      const sqlite = (file: string, text: string) => {
        const database = new Sqlite(join(folder, file));
        try {
          database.exec(text);
        } finally {
          database.close();
        }
      };
      const select = async (kind: Kind, name: string, text: string): Promise<Record<string, unknown>[]> => {
        if (kind === 'pg') return pg.sql(name, `SET TIME ZONE 'UTC'; ${text}`);
        if (kind === 'my') return my.sql(name, text);
        const database = new Sqlite(join(folder, name), { readonly: true });
        try {
          return database.prepare(text).all() as Record<string, unknown>[];
        } finally {
          database.close();
        }
      };
      const pictures = { pg: POSTGRES_PICTURE, my: MYSQL_PICTURE, lite: SQLITE_PICTURE };
      const picture = async (kind: Kind, name: string) => {
        const seen: unknown[] = [];
        for (const text of pictures[kind]) seen.push(await select(kind, name, text));
        return JSON.parse(JSON.stringify(seen)) as unknown;
      };

      beforeAll(async () => {
        pg = await makePostgres(postgres());
        my = await makeMysql(mysql!(), 'dgx_');
        folder = mkdtempSync(join(tmpdir(), 'dguard-plain-'));
        await pg.database('app', POSTGRES_TABLES);
        await my.sql(undefined, "SET GLOBAL time_zone = '+00:00'");
        await my.database('dgx_app', MYSQL_TABLES);
        sqlite('app.db', SQLITE_TABLES);
        writeFileSync(join(folder, 'pg'), postgres().password, { mode: 0o600 });
        writeFileSync(join(folder, 'my'), mysql!().password, { mode: 0o600 });
        const server = (kind: 'pg' | 'my', database: string) => {
          const { host, port, user, bin } = kind === 'pg' ? postgres() : mysql!();
          const type = kind === 'pg' ? 'postgres' : 'mysql';
          const password_file = join(folder, kind);
          return { type, host, port, username: user, password_file, client_path: bin, database };
        };
        const file = (name: string) => ({ type: 'sqlite', file_path: join(folder, name) });
        const datasources = {
          pg: server('pg', place.pg),
          my: server('my', place.my),
          lite: file(place.lite),
          pg_copy: server('pg', copy.pg),
          my_copy: server('my', copy.my),
          lite_copy: file(copy.lite),
          uploads: { type: 'files', source_path: join(folder, 'uploads') },
        };
        const names = Object.keys(datasources).filter((name) => name !== 'uploads');
        const job = (name: string, format: string) => ({
          datasources: [name],
          destinations: ['nas'],
          options: { format },
          gate: { enabled: false },
        });
        const config = {
          version: 1,
          datasources,
          destinations: { nas: { type: 'local', path: join(folder, 'nas') } },
          jobs: {
            ...Object.fromEntries(names.map((name) => [name, job(name, 'jsonl')])),
            native: job('lite', 'native'),
          },
        };
        writeFileSync(join(folder, 'backup.yaml'), JSON.stringify(config), { mode: 0o600 });
        for (const name of ['pg', 'my', 'lite']) await good('backup', name);
      });
      afterAll(async () => {
        await pg?.remove();
        await my?.remove();
        rmSync(folder, { recursive: true, force: true });
      });

      const pairs: [Kind, Kind][] = [
        ['pg', 'my'],
        ['pg', 'lite'],
        ['my', 'pg'],
        ['my', 'lite'],
        ['lite', 'pg'],
        ['lite', 'my'],
      ];
      const first = flavour === 'mariadb-11.8';
      it.each(pairs.filter((pair) => first || pair.includes('my')))(
        '%s to %s and back: every value is what it was',
        async (from, to) => {
          const before = await picture(from, place[from]);
          await good('restore', from, '--to', `${to}_copy`, '--overwrite', '--yes');
          await good('backup', `${to}_copy`);
          await good('restore', `${to}_copy`, '--to', `${from}_copy`, '--overwrite', '--yes');
          expect(await picture(from, copy[from])).toEqual(before);
        },
      );

      it('what is left of a table: NOT NULL, keys, foreign keys, a counter that goes on, and warnings of the rest', async () => {
        const said = await good('restore', 'pg', '--to', 'my_copy', '--overwrite', '--yes');
        expect(said).toMatch(/public\.v: column tz has a time zone: it becomes datetime in UTC/);
        expect(said).toMatch(/public\.felt: column m, public\.mood, becomes text/);
        await my.sql(copy.my, "INSERT INTO people (name) VALUES ('next')");
        expect(await my.sql(copy.my, "SELECT id FROM people WHERE name = 'next'")).toEqual([{ id: 41 }]);
        await expect(my.sql(copy.my, "INSERT INTO people (name) VALUES ('Ada')")).rejects.toThrow(
          /Duplicate/,
        );
        await expect(my.sql(copy.my, 'INSERT INTO v (id, owner, big) VALUES (9, 99, 1)')).rejects.toThrow(
          /foreign key/i,
        );
        await expect(my.sql(copy.my, 'INSERT INTO v (id, big) VALUES (9, NULL)')).rejects.toThrow(/null/i);
        await my.sql(copy.my, 'DELETE FROM people WHERE id = 3');
        expect(await my.sql(copy.my, 'SELECT COUNT(*) AS n FROM v WHERE id = 3')).toEqual([{ n: 0 }]);

        await good('restore', 'my', '--to', 'pg_copy', '--overwrite', '--yes');
        expect(await pg.sql(copy.pg, "INSERT INTO people (name) VALUES ('next') RETURNING id")).toEqual([
          { id: '41' },
        ]);
        await expect(pg.sql(copy.pg, 'INSERT INTO v (id, owner, big) VALUES (9, 99, 1)')).rejects.toThrow(
          /foreign key/,
        );
        expect(
          await pg.sql(copy.pg, "SELECT indexdef FROM pg_indexes WHERE indexname = 'by_owner'"),
        ).toMatchObject([{ indexdef: expect.stringContaining('(owner, big)') }]);

        await good('restore', 'my', '--to', 'lite_copy', '--overwrite', '--yes');
        sqlite(copy.lite, "PRAGMA foreign_keys = ON; INSERT INTO people (name) VALUES ('next')");
        expect(await select('lite', copy.lite, "SELECT id FROM people WHERE name = 'next'")).toEqual([
          { id: 41 },
        ]);
      });

      // Nothing in what follows asks which of the two it is.
      it('a target with something in it is kept for undo, and only replaced when asked to', async () => {
        await my.database('dgx_copy', 'CREATE TABLE precious (n INT)');
        const error = await refused('restore', 'lite', '--to', 'my_copy', '--yes');
        expect(error).toMatchObject({ code: 'target_refused', exit: 1 });
        const planned = await good('restore', 'lite', '--to', 'my_copy', '--overwrite', '--dry-run');
        expect(planned).toMatch(/would: .*dgx_copy/);
        expect(await my.sql('dgx_copy', 'SHOW TABLES')).toHaveLength(1);
        await good('restore', 'lite', '--to', 'my_copy', '--overwrite', '--yes');
        expect(await my.sql('dgx_copy', 'SHOW TABLES')).toHaveLength(2);
        await good('restore', '--undo', 'lite', '--to', 'my_copy', '--yes');
        expect(await my.sql('dgx_copy', 'SHOW TABLES')).toEqual([{ Tables_in_dgx_copy: 'precious' }]);
        await good(
          'restore',
          'lite',
          '--to',
          'my',
          '--to-database',
          'dgx_named',
          '--only',
          'people',
          '--yes',
        );
        expect(await my.sql('dgx_named', 'SHOW TABLES')).toEqual([{ Tables_in_dgx_named: 'people' }]);
        await good(
          'restore',
          'pg',
          '--to',
          'lite',
          '--to-path',
          'other.db',
          '--only',
          'public.peo*',
          '--yes',
        );
        expect(await select('lite', 'other.db', 'SELECT count(*) AS n FROM people')).toEqual([{ n: 4 }]);
        const part = await refused(
          'restore',
          'pg',
          '--to',
          'lite',
          '--only',
          'people',
          '--overwrite',
          '--yes',
        );
        expect(part).toMatchObject({
          code: 'target_refused',
          exit: 1,
          message: expect.stringContaining('not merged'),
        });
      });

      it('what the target cannot hold is refused before anything is loaded, by table, line and column', async () => {
        const databases = async () => [await my.names(), await pg.names()];
        await pg.database(
          'odd',
          "CREATE TABLE n (id int PRIMARY KEY, f float8); INSERT INTO n VALUES (1, 1), (2, 'NaN'); CREATE TABLE minus (f float8); INSERT INTO minus VALUES ('-0')",
        );
        await pg.sql('odd', 'CREATE TABLE a (id int, tags text[], r int4range); CREATE TABLE p (at point)');
        await my.database('dgx_odd', 'CREATE TABLE z (id INT PRIMARY KEY, d DATE, t TEXT)');
        await my.sql(
          'dgx_odd',
          "SET sql_mode = ''; INSERT INTO z VALUES (1, '2024-01-01', 'a'), (2, '0000-00-00', 'b')",
        );
        const config = JSON.parse(readFileSync(join(folder, 'backup.yaml'), 'utf8'));
        config.datasources.pg_odd = { ...config.datasources.pg, database: 'odd' };
        config.datasources.my_odd = { ...config.datasources.my, database: 'dgx_odd' };
        config.jobs.pg_odd = { ...config.jobs.pg, datasources: ['pg_odd'] };
        config.jobs.my_odd = { ...config.jobs.my, datasources: ['my_odd'] };
        writeFileSync(join(folder, 'backup.yaml'), JSON.stringify(config), { mode: 0o600 });
        await good('backup', 'pg_odd');
        await good('backup', 'my_odd');
        await good('backup', 'native');
        const before = await databases();
        const types = await refused('restore', 'pg_odd', '--to', 'my', '--to-database', 'dgx_new', '--yes');
        expect(types).toMatchObject({ code: 'unsupported', exit: 2 });
        expect(types.message).toContain(
          'public.a: column tags is text[]; public.a: column r is int4range; public.p: column at is point',
        );
        const nan = await refused(
          'restore',
          'pg_odd',
          '--only',
          'n',
          '--to',
          'my',
          '--to-database',
          'dgx_new',
          '--yes',
        );
        expect(nan).toMatchObject({ code: 'target_refused', exit: 1 });
        expect(nan.message).toMatch(/public\.n, line 2 of .*, column f: NaN/);
        const lite = await refused(
          'restore',
          'pg_odd',
          '--only',
          'n',
          '--to',
          'lite',
          '--to-path',
          'nan.db',
          '--yes',
        );
        expect(lite.message).toMatch(/public\.n, line 2 of .*, column f: NaN.*NULL/);
        const zero = await refused('restore', 'my_odd', '--to', 'pg', '--to-database', 'new', '--yes');
        expect(zero.message).toMatch(/^z, line 2 of z\.jsonl, column d: 0000-00-00/);
        const native = await refused('restore', 'native', '--to', 'pg', '--to-database', 'new', '--yes');
        expect(native).toMatchObject({
          code: 'unsupported',
          exit: 2,
          message: expect.stringContaining('JSONL'),
        });
        const files = await refused('restore', 'lite', '--to', 'uploads', '--yes');
        expect(files).toMatchObject({
          code: 'usage',
          exit: 2,
          message: expect.stringContaining('nothing is translated to files'),
        });
        const minus = ['restore', 'pg_odd', '--only', 'minus', '--yes', '--to'];
        expect((await refused(...minus, 'lite', '--to-path', 'nan.db')).message).toMatch(/column f: -0/);
        expect(await databases()).toEqual(before);
        expect(existsSync(join(folder, 'nan.db'))).toBe(false);
        await good(...minus, 'my', '--to-database', 'dgx_new');
        expect(await my.sql('dgx_new', 'SELECT CAST(f AS CHAR) AS f FROM minus')).toEqual([{ f: '-0' }]);
      });
    });
  }
});
