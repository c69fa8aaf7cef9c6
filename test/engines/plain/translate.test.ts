import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import type { StreamMember } from '../../../src/engines/member.ts';
import { mysqlPlain } from '../../../src/engines/mysql/plain/form.ts';
import { translate } from '../../../src/engines/plain/translate.ts';
import type { PlainTable } from '../../../src/engines/plain/types.ts';
import { postgresPlain } from '../../../src/engines/postgres/plain/form.ts';
import { sqlitePlain } from '../../../src/engines/sqlite/plain/form.ts';
import type { BackupContent, Dump } from '../../../src/engines/types.ts';
import { backUp, makeBench } from '../sqlite/support.ts';

/** A database as the content of a JSONL backup. */
async function exported<T>(sql: string, use: (content: BackupContent) => Promise<T>): Promise<T> {
  const bench = await makeBench();
  try {
    const path = join(bench.folder, 'app.db');
    const database = new Driver(path);
    database.exec(sql);
    database.close();
    return await use(await backUp(bench.source(path), { format: 'jsonl' }));
  } finally {
    await bench.remove();
  }
}

function translated(content: BackupContent, more: Partial<Parameters<typeof translate>[1]> = {}) {
  return translate(content, {
    from: sqlitePlain,
    to: postgresPlain,
    only: [],
    subject: 'test',
    signal: new AbortController().signal,
    warn: () => {},
    ...more,
  });
}

describe('a table of SQLite that is none of anybody else', () => {
  it.each([
    [
      "CREATE TABLE t (k TEXT PRIMARY KEY); INSERT INTO t VALUES ('a'), (NULL)",
      'target_refused',
      /^t, line 2 of t.jsonl, column k: it is NULL/,
    ],
    [
      "CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), ('many')",
      'target_refused',
      /line 2 .* column n: it holds a text/,
    ],
    ['CREATE TABLE t (b BOOLEAN); INSERT INTO t VALUES (2)', 'target_refused', /2 is neither 0 nor 1/],
    ['CREATE TABLE t (d DATETIME); INSERT INTO t VALUES (1700000000)', 'target_refused', /holds an integer/],
    [
      "CREATE TABLE t (s TEXT); INSERT INTO t VALUES (CAST(x'ff' AS TEXT))",
      'target_refused',
      /bytes that are no text/,
    ],
    ["CREATE TABLE t (s TEXT); INSERT INTO t VALUES ('a' || char(0))", 'target_refused', /NUL character/],
    ['CREATE TABLE t (anything)', 'unsupported', /column anything has no type/],
    ['CREATE TABLE t (m MONEY)', 'unsupported', /column m is MONEY/],
    [`CREATE TABLE "${'n'.repeat(64)}" (n INTEGER)`, 'unsupported', /longer than 63 bytes/],
    [
      'CREATE TABLE t (n INTEGER); CREATE TABLE u (n INTEGER)',
      'nothing_there',
      /no table of the backup matches x/,
    ],
  ])('%s', async (sql, code, message) => {
    const only = code === 'nothing_there' ? ['x'] : [];
    const error = await exported(sql, (content) => translated(content, { only })).catch((thrown) => thrown);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('a counter at its last number, and keys that write names in other letters', async () => {
    const warnings: string[] = [];
    const sql = await exported(
      `CREATE TABLE people (id INTEGER PRIMARY KEY); INSERT INTO people VALUES (9223372036854775807);
       CREATE TABLE t (o INTEGER REFERENCES People (ID), p INTEGER REFERENCES PEOPLE)`,
      async (content) => {
        const made = (await translated(content, { warn: ({ message }) => warnings.push(message) })).content;
        const chunks: Uint8Array[] = [];
        for await (const chunk of made.read((await made.entry('schema.dump'))!)) chunks.push(chunk);
        return Buffer.concat(chunks).toString('latin1');
      },
    );
    expect(sql).toContain('(START WITH 9223372036854775807)');
    expect(sql.match(/REFERENCES "public"."people" \("id"\)/g)).toHaveLength(2);
    expect(warnings.join()).not.toContain('foreign key');
  });

  it('what MySQL has no like of is named', async () => {
    const warnings: string[] = [];
    await exported(
      `CREATE TABLE o (id INTEGER PRIMARY KEY);
       CREATE TABLE t (o INTEGER REFERENCES o ON DELETE SET DEFAULT, p INTEGER REFERENCES o ON DELETE CASCADE)`,
      (content) => translated(content, { to: mysqlPlain, warn: ({ message }) => warnings.push(message) }),
    );
    expect(warnings).toEqual(['foreign key t_o_fkey: SET DEFAULT becomes NO ACTION']);
  });

  it('a foreign key that waited for the end of a transaction no longer does, and that is said', async () => {
    const losses = async (how: string) => {
      const said: string[] = [];
      await exported(
        `CREATE TABLE o (id INTEGER PRIMARY KEY); CREATE TABLE t (o INTEGER REFERENCES o ${how})`,
        (content) => translated(content, { warn: ({ message }) => said.push(message) }),
      );
      return said;
    };
    const lost = ['foreign keys are no longer DEFERRABLE INITIALLY DEFERRED'];
    expect(await losses('ON DELETE CASCADE DEFERRABLE\n INITIALLY  deferred')).toEqual(lost);
    for (const how of [
      '',
      'DEFERRABLE',
      'NOT DEFERRABLE INITIALLY DEFERRED',
      'DEFERRABLE INITIALLY IMMEDIATE',
    ])
      expect(await losses(how), how).toEqual([]);
  });

  it('what is left out is named', async () => {
    const warnings: string[] = [];
    await exported(
      `CREATE TABLE o (id INTEGER PRIMARY KEY);
       CREATE TABLE t (n INTEGER DEFAULT 7 CHECK (n > 0), o REFERENCES o, g INTEGER AS (n * 2));
       CREATE INDEX part ON t (n) WHERE n > 5; CREATE VIEW w AS SELECT 1;
       CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END;`.replace(
        'o REFERENCES',
        'o INTEGER REFERENCES',
      ),
      (content) => translated(content, { only: ['t'], warn: ({ message }) => warnings.push(message) }),
    );
    for (const said of [
      'defaults are left out: n',
      'CHECK',
      'generated columns are left out: g',
      'index part',
      'view w',
      'trigger g',
      'foreign key to o',
    ])
      expect(warnings.join('\n')).toContain(said);
  });
});

describe('names of columns that differ in case alone', () => {
  const table = (...names: string[]): PlainTable => ({
    label: 'public.t',
    name: 't',
    recorded: { member: 'public.t.jsonl', rows: 0, sha256: '' },
    columns: names.map((name) => ({
      name,
      type: { kind: 'text' },
      notNull: false,
      decode: (json) => json,
    })),
    primaryKey: [],
    indexes: [],
    foreignKeys: [],
    otherKeys: [],
    refusals: [],
    losses: [],
  });
  const refusals = (to: typeof mysqlPlain, ...names: string[]) => {
    const one = table(...names);
    return to.write.plan(one, [one]).refusals;
  };

  it('are refused before anything is made where the server takes them for one', () => {
    const same = ['columns Name and name are one there: only the case of their letters differs'];
    expect(refusals(mysqlPlain, 'Name', 'id', 'name')).toEqual(same);
    expect(refusals(sqlitePlain, 'Name', 'id', 'name')).toEqual(same);
    expect(refusals(mysqlPlain, 'É', 'é')).toHaveLength(1);
    // SQLite folds the letters of ASCII alone, MySQL no accents, PostgreSQL nothing.
    expect(refusals(sqlitePlain, 'É', 'é')).toEqual([]);
    expect(refusals(mysqlPlain, 'e', 'é')).toEqual([]);
    expect(refusals(postgresPlain, 'Name', 'name')).toEqual([]);
  });
});

describe('the proof of what was loaded', () => {
  it('one value that is not what was read keeps the target from being replaced', async () => {
    const sql =
      "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (1, 'a'), (2, NULL), (3, '')";
    await exported(sql, async (content) => {
      const translation = await translated(content);
      const entry = (await translation.content.entry('public.t.jsonl'))!;
      let text = '';
      for await (const chunk of translation.content.read(entry)) text += Buffer.from(chunk).toString();
      const dumped = (lines: string): Dump =>
        ({
          async *members() {
            yield {
              kind: 'stream',
              path: 'public.t.jsonl',
              async *open() {
                yield Buffer.from(lines);
              },
            } as unknown as StreamMember;
          },
        }) as unknown as Dump;
      await translation.prove(dumped(text));
      const swapped = `${text.split('\n').slice(0, 3).reverse().join('\n')}\n`;
      await translation.prove(dumped(swapped));
      for (const wrong of [text.replace('null', '""'), text.replace('"a"', '"A"'), text.replace(/.*\n/, '')])
        await expect(translation.prove(dumped(wrong))).rejects.toMatchObject({ code: 'target_failed' });
      await expect(translation.prove({ async *members() {} } as unknown as Dump)).rejects.toThrow(/missing/);
    });
  });
});
