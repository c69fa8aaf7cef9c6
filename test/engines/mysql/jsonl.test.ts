import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { mysqlEngine } from '../../../src/engines/mysql/engine.ts';
import { parseLine } from '../../../src/engines/mysql/jsonl/jsonl-script.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { collect } from '../../archive/support.ts';
import { type Bench, backUp, describeWithEachMysql, makeBench, picture } from './support.ts';
import { valuesDatabase } from './support-values.ts';

const OBJECTS = readFileSync(join(import.meta.dirname, 'support-objects.sql'), 'utf8');

async function textOf(content: BackupContent, path: string): Promise<string> {
  return (await collect(content.read((await content.entry(path))!))).toString('utf8');
}

/** A backup in which the bytes of one member are others. */
function changed(content: BackupContent, path: string, change: (text: string) => string): BackupContent {
  return {
    ...content,
    async *read(entry) {
      if (entry.path !== path) return yield* content.read(entry);
      yield Buffer.from(change(await textOf(content, path)));
    },
  };
}

describeWithEachMysql('mysql: JSON lines', (server) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgj_');
  });
  afterAll(() => bench?.remove());
  const inspect = (content: BackupContent) =>
    mysqlEngine.inspect(content, {
      env: {},
      tempDir: bench.folder,
      signal: new AbortController().signal,
      onProgress() {},
    });

  it('objects of many kinds come back equal, in a new database and in the place of another', async () => {
    await bench.database('dgj_objects', OBJECTS);
    const before = await picture(bench, 'dgj_objects');
    const content = await backUp(bench.source('dgj_objects'), { format: 'jsonl', parallelJobs: 2 });
    expect(await inspect(content)).toEqual([]);
    await mysqlEngine.restore(content, bench.request('dgj_objects', { toDatabase: 'dgj_new' }));
    expect(await picture(bench, 'dgj_new')).toEqual(before);
    await bench.sql('dgj_objects', 'DROP EVENT tick');
    await mysqlEngine.restore(content, bench.request('dgj_objects', { overwrite: true }));
    expect(await picture(bench, 'dgj_objects')).toEqual(before);
    const document = JSON.parse(await textOf(content, 'schema.json'));
    const child = document.tables.find(({ table }: { table: string }) => table === 'child');
    expect(child).toMatchObject({
      member: 'child.jsonl',
      rows: 5,
      columns: [
        { name: 'id', form: 'number', primary_key: 1, not_null: true },
        { name: 'parent_id' },
        { form: 'text' },
      ],
      foreign_keys: [{ columns: ['parent_id'], references: { table: 'parent', columns: ['id'] } }],
    });
    expect(child.indexes).toContainEqual({ name: 'PRIMARY', unique: true, columns: ['id'] });
    const kinds = (await textOf(content, 'kinds.jsonl')).split('\n').map((line) => line && JSON.parse(line));
    expect(kinds[0]).toMatchObject({
      b: 'FVU=',
      vb: 'XCc=',
      e: "b'c",
      y: '1999',
      t: '-838:59:59.000',
      c8: 'äöü',
      f: 1.5,
    });
    expect((await textOf(content, 'kinds.jsonl')).split('\n')[0]).toContain(
      '"d":12345678901234567890123456789012345.123456789012345678901234567890,',
    );
    expect(kinds[1]).toMatchObject({ b: null, vb: '', j: null, s: '', ts: null });
    await mysqlEngine.swaps!.dropUndo(bench.target('dgj_objects'), 0);
  });

  it('every value comes back exactly, and tests itself in a scratch database', async () => {
    await valuesDatabase(bench, 'dgj_values');
    if (server().flavour === 'mariadb')
      await bench.sql('dgj_values', 'ALTER TABLE versions DROP SYSTEM VERSIONING');
    const before = await picture(bench, 'dgj_values');
    const content = await backUp(bench.source('dgj_values'), { format: 'jsonl' });
    await mysqlEngine.restore(content, bench.request('dgj_values', { toDatabase: 'dgj_values_2' }));
    expect(await picture(bench, 'dgj_values_2')).toEqual(before);
    await mysqlEngine.restore(content, bench.request('dgj_values', { scratch: true }));
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });

  it.each(['jsonl', 'native'] as const)(
    'rows of tables that show those of others come back once, by %s; that is said',
    async (format) => {
      const name = `dgj_shown_${format}`;
      await bench.database(
        name,
        'CREATE TABLE own (n INT) ENGINE=MyISAM;\nCREATE TABLE shown (n INT) ENGINE=MERGE UNION=(own) INSERT_METHOD=LAST;\nINSERT INTO own VALUES (1), (2)',
      );
      const content = await backUp(bench.source(name), { format });
      expect(bench.warnings.map(({ message }) => message)).toContainEqual(
        expect.stringMatching(/without rows: shown \(MRG_MyISAM\); back up what they show/i),
      );
      await mysqlEngine.restore(content, bench.request(name, { toDatabase: `${name}_2` }));
      await mysqlEngine.restore(content, bench.request(name, { overwrite: true }));
      for (const database of [name, `${name}_2`])
        for (const table of ['own', 'shown'])
          expect(await bench.sql(database, `SELECT n FROM ${table} ORDER BY n`)).toEqual([
            { n: 1 },
            { n: 2 },
          ]);
      await mysqlEngine.swaps!.dropUndo(bench.target(name), 0);
    },
  );

  it('chosen tables go into a database that is there, and back', async () => {
    await bench.database(
      'dgj_some',
      'CREATE TABLE a (n INT);\nCREATE TABLE b (n INT);\nINSERT INTO a VALUES (1);\nINSERT INTO b VALUES (1)',
    );
    const content = await backUp(bench.source('dgj_some'), { format: 'jsonl' });
    await bench.sql('dgj_some', 'INSERT INTO a VALUES (2)');
    await bench.sql('dgj_some', 'INSERT INTO b VALUES (2)');
    const { tables } = await mysqlEngine.restore(
      content,
      bench.request('dgj_some', { only: ['a'], overwrite: true }),
    );
    expect(tables).toEqual([{ name: 'a', rows: 1 }]);
    expect(await bench.sql('dgj_some', 'SELECT n FROM a')).toEqual([{ n: 1 }]);
    expect(await bench.sql('dgj_some', 'SELECT n FROM b')).toHaveLength(2);
    await mysqlEngine.swaps!.undo(bench.target('dgj_some'));
    expect(await bench.sql('dgj_some', 'SELECT n FROM a')).toHaveLength(2);
    await mysqlEngine.swaps!.dropUndo(bench.target('dgj_some'), 0);
  });

  it('a line, a number of rows or a hash that is not right is found, and never swapped in', async () => {
    await bench.database(
      'dgj_bad',
      "CREATE TABLE t (n INT, s TEXT);\nINSERT INTO t VALUES (1, 'x'), (2, 'y')",
    );
    const content = await backUp(bench.source('dgj_bad'), { format: 'jsonl' });
    const cases: [string, (text: string) => string, RegExp][] = [
      ['t.jsonl', (text) => text.replace('"x"', '"z"'), /differs from its hash/],
      ['t.jsonl', (text) => text.split('\n').slice(1).join('\n'), /has 1 rows, schema.json says 2/],
      ['t.jsonl', (text) => text.replace('{"n":1', '{"n":1);DROP TABLE t'), /line 1 of t.jsonl is not a row/],
      ['schema.json', () => '{"format":"other"}', /does not describe/],
    ];
    for (const [path, change, message] of cases) {
      const bad = changed(content, path, change);
      expect((await inspect(bad).catch((error: Error) => [error.message])).join(), path).toMatch(message);
      await expect(
        mysqlEngine.restore(bad, bench.request('dgj_bad', { overwrite: true })),
      ).rejects.toMatchObject({ code: 'corrupt', message: expect.stringMatching(message) });
    }
    expect(await bench.sql('dgj_bad', 'SELECT s FROM t ORDER BY n')).toEqual([{ s: 'x' }, { s: 'y' }]);
    expect((await bench.names()).filter((name) => name.includes('__dg_'))).toEqual([]);
  });
});

it('reads lines without losing a digit, and nothing that is no row', () => {
  const column = (name: string, form: 'number' | 'float' | 'text' | 'base64') => ({
    ...{ name, form, type: '', not_null: false, primary_key: 0, generated: false },
  });
  const columns = [column('n', 'number'), column('f', 'float'), column('t', 'text'), column('b', 'base64')];
  expect(
    parseLine('{"n":18446744073709551615,"f":-0,"t":"it\'s \\u0000\\n\\\\","b":"/wA="}', columns),
  ).toEqual(['18446744073709551615', "'-0'", "'it\\'s \\0\\n\\\\'", '0xff00']);
  expect(parseLine('{"b":"", "t":"", "f":null, "n":null}', columns)).toEqual(['NULL', 'NULL', "''", "''"]);
  const long = 'x"\\'.repeat(500_000);
  expect(parseLine(JSON.stringify({ n: 1, f: 1, t: long, b: null }), columns)?.[2]).toHaveLength(2_500_002);
  for (const bad of [
    '',
    '{}',
    '{"n":1}',
    '{"n":1,"f":1,"t":"","b":""} x',
    '{"n":"1","f":1,"t":"","b":""}',
    '{"n":1,"n":1,"f":1,"t":"","b":""}',
    '{"n":0x10,"f":1,"t":"","b":""}',
    '{"n":1--1,"f":1,"t":"","b":""}',
    '{"n":1,"f":1,"t":"\\x","b":""}',
    '{"n":1,"f":1,"t":"open,"b":""}',
    '{"n":1,"f":1,"t":true,"b":""}',
    '{"n":1,"f":1,"t":"","b":"*"}',
    '{"n":1,"f":1,"t":"","b":"","more":1}',
  ]) {
    expect(parseLine(bad, columns), bad).toBeUndefined();
  }
});

it('gives large values in pieces, which no string has to hold, and cuts no character', () => {
  const column = (name: string, form: 'text' | 'base64') => ({
    ...{ name, form, type: '', not_null: false, primary_key: 0, generated: false },
  });
  const bytes = Buffer.alloc(13 * 1024 * 1024, 'a\x00\xffz', 'latin1');
  const text = `'${'😀'.repeat(9 * 1024 * 1024)}\\`;
  const line = JSON.stringify({ t: text, b: bytes.toString('base64') });
  const values = parseLine(line, [column('t', 'text'), column('b', 'base64')])!;
  const [t, b] = values.map((value) => {
    const pieces = [...value];
    expect(pieces.length).toBeGreaterThan(5);
    return Buffer.concat(pieces.map((piece) => Buffer.from(piece)));
  });
  expect(t!.equals(Buffer.from(`'\\${text}\\'`))).toBe(true);
  expect(b!.equals(Buffer.from(`0x${bytes.toString('hex')}`))).toBe(true);
});
