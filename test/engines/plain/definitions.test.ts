import { describe, expect, it } from 'vitest';
import { readDefinitions } from '../../../src/engines/mysql/plain/definitions.ts';
import { uniqueName } from '../../../src/engines/plain/names.ts';
import { parseConstraint, parseIndex } from '../../../src/engines/postgres/plain/definitions.ts';

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
