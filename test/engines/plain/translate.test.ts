import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import { lineFields } from '../../../src/engines/jsonl/line.ts';
import type { StreamMember } from '../../../src/engines/member.ts';
import { readDefinitions } from '../../../src/engines/mysql/plain/definitions.ts';
import { mysqlPlain } from '../../../src/engines/mysql/plain/form.ts';
import { uniqueName } from '../../../src/engines/plain/names.ts';
import { translate } from '../../../src/engines/plain/translate.ts';
import { type PlainTable, Unfit } from '../../../src/engines/plain/types.ts';
import {
  canonicalText,
  decimalText,
  digitsOf,
  requireClock,
  requireDay,
  requireTimestamp,
} from '../../../src/engines/plain/values.ts';
import { parseConstraint, parseIndex } from '../../../src/engines/postgres/plain/definitions.ts';
import { postgresPlain } from '../../../src/engines/postgres/plain/form.ts';
import { sqlitePlain } from '../../../src/engines/sqlite/plain/form.ts';
import type { BackupContent, Dump } from '../../../src/engines/types.ts';
import { backUp, makeBench } from '../sqlite/support.ts';

describe('a line of an export', () => {
  it('gives each value as its text, with all digits and nested values whole', () => {
    const line = String.raw`{"n":12345678901234567890.10,"s":"a\"}\\","o":{"x":["]}",{}]} ,"t":true,"é":null}`;
    expect([...lineFields(line)!]).toEqual([
      ['n', '12345678901234567890.10'],
      ['s', String.raw`"a\"}\\"`],
      ['o', '{"x":["]}",{}]}'],
      ['t', 'true'],
      ['é', 'null'],
    ]);
    expect(lineFields('{}')).toEqual(new Map());
  });

  it.each([
    '',
    '[]',
    '{"a":1',
    '{"a":1}x',
    '{"a":1,"a":2}',
    '{"a":}',
    '{"a" 1}',
    '{a:1}',
    '{"a":"x}',
    '{"a":{"b":1}',
  ])('refuses %s', (line) => expect(lineFields(line)).toBeUndefined());
});

describe('values', () => {
  it.each([
    ['-0', '0'],
    ['00.500', '0.5'],
    ['1.5e3', '1500'],
    ['1.25E-3', '0.00125'],
    ['-123456789012345678901234567890.10', '-123456789012345678901234567890.1'],
    ['1e+20', '100000000000000000000'],
  ])('the digits of %s are %s', (text, expected) => expect(decimalText(digitsOf(text)!)).toBe(expected));

  it('a moment is brought to UTC with all of its microseconds, over the ends of years', () => {
    expect(requireTimestamp('2024-12-31T23:30:00.000001-05:30', true)).toBe('2025-01-01 05:00:00.000001');
    expect(requireTimestamp('1883-11-18T12:03:57.5-04:56:02', true)).toBe('1883-11-18 16:59:59.5');
    expect(requireTimestamp('0001-01-01 00:00:00', false)).toBe('0001-01-01 00:00:00');
    for (const [text, zone] of [
      ['0000-01-01T00:00:00+01:00', true],
      ['infinity', true],
      ['0044-03-15T00:00:00 BC', false],
      ['2024-01-01 00:00:00', true],
      ['2024-01-01 00:00:00Z', false],
      ['2024-01-01 00:00:00.1234567', false],
    ] as const)
      expect(() => requireTimestamp(text, zone), text).toThrow(Unfit);
  });

  it('days and times that only MySQL has are told', () => {
    for (const day of ['0000-00-00', '2024-02-30', '2024-00-10'])
      expect(() => requireDay(day), day).toThrow(Unfit);
    requireDay('0001-01-01 00:00:00');
    expect(() => requireClock('25:00:00')).toThrow(Unfit);
    requireClock('24:00:00');
  });

  it('one value has one text, whatever it came out of; others have others', () => {
    const float = { kind: 'float', bits: 32 } as const;
    expect(canonicalText('0.1', float)).toBe(canonicalText('0.10000000149011612', float));
    expect(canonicalText('-0', float)).not.toBe(canonicalText('0', float));
    expect(canonicalText(true, { kind: 'boolean' })).toBe(canonicalText('1', { kind: 'boolean' }));
    expect(canonicalText('1.50', { kind: 'decimal' })).toBe('1.5');
    expect(canonicalText('1.50', { kind: 'text' })).toBe('1.50');
  });
});

describe('definitions', () => {
  it('of PostgreSQL: constraints and indexes, quoted names among them', () => {
    expect(
      parseConstraint(
        'o k FOREIGN KEY ("a, b", c) REFERENCES public."T""x"(id, "Id") ON UPDATE CASCADE ON DELETE SET NULL',
      ),
    ).toEqual({
      kind: 'foreign',
      name: 'o k',
      key: {
        name: 'o k',
        columns: ['a, b', 'c'],
        table: 'public.T"x',
        references: ['id', 'Id'],
        onDelete: 'SET NULL',
        onUpdate: 'CASCADE',
      },
    });
    expect(parseConstraint('t_check CHECK ((n > 0))')).toEqual({ kind: 'other', name: 't_check' });
    expect(parseIndex('CREATE UNIQUE INDEX i ON public.t USING btree (a DESC NULLS LAST, "B c")')).toEqual({
      name: 'i',
      unique: true,
      columns: ['a', 'B c'],
    });
    for (const odd of [
      'USING gin (a)',
      'USING btree (lower(a))',
      'USING btree (a) WHERE (b > 0)',
      'USING btree (a text_pattern_ops)',
    ])
      expect(parseIndex(`CREATE INDEX i ON public.t ${odd}`), odd).toEqual({ name: 'i', unique: false });
  });

  it('of MySQL: actions of foreign keys, keys of parts, the counter', () => {
    const sql = `CREATE TABLE \`t\` (
  \`a\` int NOT NULL AUTO_INCREMENT,
  KEY \`part\` (\`b\`(10)),
  KEY \`whole\` (\`b\`,\`c\` DESC),
  FULLTEXT KEY \`words\` (\`b\`),
  CONSTRAINT \`f\`\`k\` FOREIGN KEY (\`a\`) REFERENCES \`o\` (\`i\`) ON DELETE SET NULL,
  CONSTRAINT \`c\` CHECK (\`a\` > 0)
) ENGINE=InnoDB AUTO_INCREMENT=18446744073709551614 DEFAULT CHARSET=utf8mb4;
`;
    expect(readDefinitions(sql).get('t')).toEqual({
      actions: new Map([['f`k', { onDelete: 'SET NULL', onUpdate: 'NO ACTION' }]]),
      oddKeys: ['part', 'words'],
      checks: [expect.stringContaining('CHECK')],
      next: 18446744073709551614n,
    });
  });

  it('a foreign key that empties some of its columns alone is none that others have', () => {
    const key = 'k FOREIGN KEY (a, b) REFERENCES public.t(a, b) ON DELETE SET NULL';
    expect(parseConstraint(key)).toMatchObject({ kind: 'foreign', key: { onDelete: 'SET NULL' } });
    expect(parseConstraint(`${key} (b)`)).toEqual({ kind: 'other', name: 'k' });
    for (const rows of ['NOT VALID', 'NOT ENFORCED'])
      expect(parseConstraint(`${key} ${rows}`)).toEqual({ kind: 'other', name: 'k' });
    expect(parseConstraint(`${key} DEFERRABLE INITIALLY DEFERRED`)).toMatchObject({
      kind: 'foreign',
      lost: 'DEFERRABLE INITIALLY DEFERRED',
    });
    expect(parseConstraint(key)).not.toHaveProperty('lost');
  });

  it('a name is cut to what fits, and is nobody else’s', () => {
    const taken = new Set(['users']);
    expect(uniqueName('Users', taken, 63)).toBe('Users_2');
    expect(Buffer.byteLength(uniqueName('ü'.repeat(60), taken, 63))).toBeLessThanOrEqual(63);
  });
});

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
