import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, backUp, makeBench } from './support.ts';

/** Amounts as in Argentina: 12.34 is `$ 12,34`, which the locale C reads as 1234.00. */
const MONETARY = `LC_MONETARY
int_curr_symbol "XTS "
currency_symbol "$"
mon_decimal_point ","
mon_thousands_sep "."
mon_grouping 3;3
positive_sign ""
negative_sign "-"
int_frac_digits 2
frac_digits 2
p_cs_precedes 1
p_sep_by_space 1
n_cs_precedes 1
n_sep_by_space 1
p_sign_posn 1
n_sign_posn 1
END LC_MONETARY
`;
const ASCII = `<code_set_name> ANSI_X3.4-1968
<comment_char> %
<escape_char> /
CHARMAP
<U0000>..<U007F> /x00 NULL
END CHARMAP
`;

/** A folder with the locale `xx_YY`, of nothing that the machine has but localedef. */
function makeLocale(): string {
  const folder = mkdtempSync(join(tmpdir(), 'dguard-locale-'));
  writeFileSync(join(folder, 'monetary'), MONETARY);
  writeFileSync(join(folder, 'ascii'), ASCII);
  chmodSync(folder, 0o755);
  // It warns of all that a whole locale has.
  const argv = ['-c', '-i', join(folder, 'monetary'), '-f', join(folder, 'ascii'), join(folder, 'xx_YY')];
  spawnSync('localedef', argv, { timeout: 60_000 });
  return folder;
}

const locales = makeLocale();

describeWithPostgres(
  15,
  'postgres: money under a locale of its own',
  (server) => {
    let bench: Bench;
    let isKnown = false;
    beforeAll(async () => {
      bench = await makeBench(server());
      await bench.database('shop');
      isKnown = await bench.sql('shop', "SET lc_monetary TO 'xx_YY'").then(
        () => true,
        () => false,
      );
      if (!isKnown) return;
      await bench.sql('postgres', "ALTER DATABASE shop SET lc_monetary TO 'xx_YY'");
      await bench.sql(
        'shop',
        `CREATE TABLE prices (id int PRIMARY KEY, v money DEFAULT '$ 3,50', a money[]);
         INSERT INTO prices VALUES (1, 12.34, '{"0,05","1.234.567,89"}'), (2, -0.05, NULL);
         CREATE VIEW dear AS SELECT id FROM prices WHERE v > '$ 0,01'`,
      );
    });
    afterAll(async () => {
      await bench?.remove();
      rmSync(locales, { recursive: true, force: true });
    });

    const settings = (database: string) =>
      bench.sql(
        'postgres',
        `SELECT s.setconfig AS own FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = '${database}'`,
      );
    const amounts = (database: string) =>
      bench.sql(database, 'SELECT id, v::numeric::text, a::numeric[]::text FROM prices ORDER BY id');

    for (const format of ['native', 'jsonl'] as const) {
      it(`${format}: amounts come back, also of chosen tables`, async (context) => {
        if (!isKnown) context.skip('the server does not know the locale that localedef made');
        const before = await amounts('shop');
        const content = await backUp(bench.source('shop'), { format });
        bench.warnings.length = 0;
        await postgresEngine.restore(content, bench.request('shop', { scratch: true }));
        const copy = `shop_${format}`;
        await postgresEngine.restore(content, bench.request('shop', { toDatabase: copy }));
        expect(await amounts(copy)).toEqual(before);
        expect(await settings(copy)).toEqual([{ own: ['lc_monetary=xx_YY'] }]);
        await bench.sql(copy, 'UPDATE prices SET v = v * 2; ALTER TABLE prices ALTER v DROP DEFAULT');
        const only = bench.request(copy, { toDatabase: copy, only: ['prices'], overwrite: true });
        await postgresEngine.restore(content, only);
        expect(await amounts(copy)).toEqual(before);
        await bench.sql(copy, 'DROP TABLE prices CASCADE');
        await postgresEngine.restore(content, only);
        expect(await amounts(copy)).toEqual(before);
        await bench.sql(copy, 'INSERT INTO prices (id) VALUES (3)');
        expect((await amounts(copy)).at(-1)).toEqual({ id: 3, v: '3.50', a: null });
        expect(bench.warnings).toEqual([]);
      });
    }

    it('amounts come back on a server that does not know the locale of the source', async (context) => {
      if (!isKnown) context.skip('the server does not know the locale that localedef made');
      const before = await amounts('shop');
      const contents = {
        native: await backUp(bench.source('shop')),
        jsonl: await backUp(bench.source('shop'), { format: 'jsonl' }),
      };
      renameSync(locales, `${locales}.away`);
      try {
        const unknown = bench.sql('postgres', "SET lc_monetary TO 'xx_YY'");
        await expect(unknown).rejects.toThrow('invalid value');
        for (const [format, content] of Object.entries(contents)) {
          expect(content.facts.engine).toMatchObject({ lc_monetary: 'C', has_money: true });
          bench.warnings.length = 0;
          await postgresEngine.restore(content, bench.request('shop', { scratch: true }));
          expect(bench.warnings).toEqual([]);
          const copy = `shop_away_${format}`;
          await postgresEngine.restore(content, bench.request('shop', { toDatabase: copy }));
          expect(await amounts(copy)).toEqual(before);
          expect(bench.warnings).toMatchObject([{ message: expect.stringContaining('SET "lc_monetary"') }]);
        }
      } finally {
        renameSync(`${locales}.away`, locales);
      }
    });

    it('what an older dguard wrote by the locale of the source is read by it', async (context) => {
      if (!isKnown) context.skip('the server does not know the locale that localedef made');
      const content = await backUp(bench.source('shop'));
      const { host, port, user, password, bin = '' } = server();
      const file = join(bench.folder, 'older.dump');
      const argv = ['-h', host, '-p', `${port}`, '-U', user, '-Fc', '-Z0', '-f', file, 'shop'];
      const env = { ...process.env, PGPASSWORD: password };
      const dumped = spawnSync(join(bin, 'pg_dump'), argv, { env, encoding: 'utf8' });
      expect(dumped.status, dumped.stderr).toBe(0);
      const bytes = readFileSync(file);
      expect(bytes.includes('$ 12,34')).toBe(true);
      const older: BackupContent = {
        ...content,
        facts: { ...content.facts, engine: { ...content.facts.engine, lc_monetary: 'xx_YY' } },
        async *read(entry) {
          if (entry.path === 'database.dump') yield bytes;
          else yield* content.read(entry);
        },
      };
      await postgresEngine.restore(older, bench.request('shop', { toDatabase: 'shop_older' }));
      expect(await amounts('shop_older')).toEqual(await amounts('shop'));
    });

    it('a server that does not know the locale is refused before anything is made', async () => {
      await bench.database('plain', 'CREATE TABLE t (m money); INSERT INTO t VALUES (1.5)');
      const content = await backUp(bench.source('plain'));
      expect(content.facts.engine).toMatchObject({ lc_monetary: 'C' });
      const elsewhere: BackupContent = {
        ...content,
        facts: { ...content.facts, engine: { ...content.facts.engine, lc_monetary: 'no such Locale' } },
      };
      const names = await bench.names();
      const request = bench.request('plain', { toDatabase: 'plain_copy' });
      expect(await errorOf(postgresEngine.restore(elsewhere, request))).toMatchObject({
        code: 'target_refused',
        message: expect.stringContaining('lc_monetary no such Locale'),
        hint: expect.stringContaining('nothing was changed'),
      });
      expect(await bench.names()).toEqual(names);
      const { engine, ...facts } = content.facts;
      const { lc_monetary: _, ...older } = engine as Record<string, unknown>;
      await postgresEngine.restore({ ...content, facts: { ...facts, engine: older } }, request);
      expect(await bench.sql('plain_copy', 'SELECT m::numeric::text FROM t')).toEqual([{ m: '1.50' }]);
    });
  },
  { env: { LOCPATH: locales } },
);

describeWithPostgres(15, 'postgres: a server whose databases sort by ICU', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
  });
  afterAll(() => bench?.remove());

  it('a database that sorts by libc comes back as one', async (context) => {
    await bench.database('plain', 'CREATE TABLE t (a text PRIMARY KEY)');
    const icu = `CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'`;
    const isThere = await bench.sql('postgres', icu).then(
      () => true,
      () => false,
    );
    if (!isThere) context.skip('the server was built without ICU');
    const content = await backUp(bench.source('plain'));
    // As `initdb --locale-provider=icu` makes it.
    await bench.sql('postgres', 'ALTER DATABASE template0 IS_TEMPLATE false');
    await bench.sql('postgres', 'DROP DATABASE template0');
    await bench.sql('postgres', 'ALTER DATABASE icu RENAME TO template0');
    await bench.sql('postgres', "UPDATE pg_database SET datcollversion = NULL WHERE datname = 'template0'");
    await postgresEngine.restore(content, bench.request('plain', { overwrite: true }));
    const how = "SELECT datlocprovider AS by, datcollate FROM pg_database WHERE datname = 'plain'";
    expect(await bench.sql('postgres', how)).toEqual([{ by: 'c', datcollate: 'C' }]);
  });
});
