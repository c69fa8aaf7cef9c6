import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { memberText } from '../../../src/engines/member-text.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import { errorOf } from '../../error-of.ts';
import { describeWithEachPostgres, describeWithPostgres } from '../../services/needs.ts';
import { postgresPrograms } from '../../services/postgres.mjs';
import { type Bench, backUp, dumpRequest, makeBench } from './support.ts';
import { BIG, toolsElsewhere } from './support-dump.ts';

describeWithEachPostgres('postgres: client tools that run elsewhere', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server());
    await bench.database('big', BIG);
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

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
