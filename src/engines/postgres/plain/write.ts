import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import { memberName } from '../../jsonl/member-name.ts';
import { uniqueName } from '../../plain/names.ts';
import {
  type PlainTable,
  type PlainType,
  type PlainValue,
  type PlainWriter,
  type PlannedColumn,
  type PlannedTable,
  Unfit,
  type WrittenTable,
} from '../../plain/types.ts';
import { digitsOf, requireClock, requireDay, requireRange } from '../../plain/values.ts';
import {
  columnDocuments,
  foreignKeyClause,
  nameList,
  referredColumns,
  refuseLongNames,
  writtenFacts,
} from '../../plain/write-table.ts';
import type { SourceFacts } from '../dump/source-facts.ts';
import { type ColumnDocument, VALUE_ENCODING } from '../jsonl/jsonl-columns.ts';
import { DEFINITIONS_MEMBER, DOCUMENT_FORMAT, type SchemaDocument } from '../jsonl/jsonl-dump.ts';
import { identifier } from '../server/session.ts';
import { type ArchiveEntry, definitionsArchive } from './archive.ts';

const SCHEMA = 'public';
/** NAMEDATALEN: the server would cut a longer name, and say so to nobody. */
const NAME_BYTES = 63;
const MAX_CHARS = 10_485_760;
const MAX_DIGITS = 1000;

/** Plain tables in PostgreSQL, all in the schema `public`. */
export const plainWriter: PlainWriter = {
  plan,
  describe,
  memberName: (table, taken) => memberName(`${SCHEMA}.${table.name}`, taken, 100),
  tableName: ({ name }) => `${SCHEMA}.${name}`,
};

function plan(table: PlainTable, all: readonly PlainTable[]): PlannedTable {
  const refusals = refuseLongNames(table, NAME_BYTES, 'bytes', Buffer.byteLength);
  const keys = keyColumns(table, all);
  const columns = table.columns.map(({ name, type }) =>
    isHuge(type) && keys.has(name) ? KEY_OF_64_BITS : columnOf(type),
  );
  return { columns, refusals, losses: [] };
}

/** Columns that are a key, refer to one or count: they have to be of one type on both sides. */
function keyColumns(table: PlainTable, all: readonly PlainTable[]): ReadonlySet<string> {
  const own = table.foreignKeys.flatMap(({ columns }) => columns);
  const referred = referredColumns(table, all).flat();
  const serial = table.serial === undefined ? [] : [table.serial.column];
  return new Set([...table.primaryKey, ...own, ...referred, ...serial]);
}

/** MySQL's `bigint unsigned`, of which PostgreSQL has no like. */
function isHuge(type: PlainType): boolean {
  return type.kind === 'integer' && type.bits === 64 && type.unsigned;
}

/** Nobody has counted beyond that; a key that has is refused by its row. */
const KEY_OF_64_BITS: PlannedColumn = {
  type: 'bigint',
  encode(value) {
    requireRange(String(value), 0n, 2n ** 63n - 1n);
    return String(value);
  },
};

function columnOf(type: PlainType): PlannedColumn {
  const checked =
    (...checks: ((text: string) => void)[]) =>
    (value: Exclude<PlainValue, null>) => {
      for (const check of checks) check(String(value));
      return JSON.stringify(String(value));
    };
  const number = (value: Exclude<PlainValue, null>) => {
    const text = String(value);
    return digitsOf(text) === undefined ? JSON.stringify(text) : text;
  };
  switch (type.kind) {
    case 'integer':
      return { type: integerType(type), encode: number };
    case 'decimal': {
      const { precision, scale = 0 } = type;
      const fits = precision !== undefined && precision <= MAX_DIGITS && scale >= 0 && scale <= precision;
      return { type: fits ? `numeric(${precision},${scale})` : 'numeric', encode: number };
    }
    case 'float':
      return { type: type.bits === 32 ? 'real' : 'double precision', encode: number };
    case 'boolean':
      return { type: 'boolean', encode: (value) => String(value) };
    case 'text':
      return {
        type:
          type.length !== undefined && type.length > 0 && type.length <= MAX_CHARS
            ? `character varying(${type.length})`
            : 'text',
        encode: checked(refuseNul),
      };
    case 'bytes':
      return { type: 'bytea', encode: (value) => JSON.stringify(`\\x${(value as Buffer).toString('hex')}`) };
    case 'date':
      return { type: 'date', encode: checked(requireDay) };
    case 'time':
      return { type: 'time(6) without time zone', encode: checked(requireClock) };
    case 'timestamp':
      if (!type.zone) return { type: 'timestamp(6) without time zone', encode: checked(requireDay) };
      return {
        type: 'timestamp(6) with time zone',
        encode(value) {
          requireDay(String(value));
          return JSON.stringify(`${value}+00`);
        },
      };
    case 'uuid':
      return { type: 'uuid', encode: checked() };
    case 'json':
      return { type: 'json', encode: checked(refuseNul) };
  }
}

function refuseNul(text: string): void {
  if (text.includes('\0')) throw new Unfit('it has a NUL character, which PostgreSQL holds in no text');
}

function integerType({ bits, unsigned }: PlainType & { kind: 'integer' }): string {
  const needed = unsigned ? bits + 1 : bits;
  if (needed <= 16) return 'smallint';
  if (needed <= 32) return 'integer';
  return needed <= 64 ? 'bigint' : 'numeric(20,0)';
}

function describe(written: readonly WrittenTable[]) {
  const taken = new Set(written.map(({ table }) => table.name.toLowerCase()));
  const entries: ArchiveEntry[] = [
    { kind: 'ENCODING', tag: 'ENCODING', section: 'pre-data', sql: "SET client_encoding = 'UTF8';\n" },
    {
      kind: 'STDSTRINGS',
      tag: 'STDSTRINGS',
      section: 'pre-data',
      sql: "SET standard_conforming_strings = 'on';\n",
    },
    ...written.map(createTable),
    ...written.flatMap(({ table }) => keys(table, taken)),
    ...written.flatMap(({ table }) => foreignKeys(table, written)),
  ];
  const document: SchemaDocument = {
    format: DOCUMENT_FORMAT,
    version: 1,
    server_version: '',
    value_encoding: VALUE_ENCODING,
    tables: written.map((one) => ({
      schema: SCHEMA,
      table: one.table.name,
      ...one.recorded,
      columns: columnDocuments(one).map(
        (column, at): ColumnDocument => ({
          ...column,
          form: one.table.columns[at]!.type.kind === 'json' ? 'text' : 'plain',
          identity: serialOf(one.table)?.column === column.name,
        }),
      ),
      indexes: [],
      constraints: [],
    })),
    sequences: [],
    filled_views: [],
  };
  const facts: SourceFacts = {
    // Of none: it loads into any that is supported, and is like the target in all that is left open.
    server_version_num: 0,
    tool_major: 0,
    database: {
      name: '',
      owner: '',
      encoding: 'UTF8',
      collate: '',
      ctype: '',
      provider: 'libc',
      tablespace: '',
      connection_limit: -1,
      settings: [],
    },
    extensions: [],
    roles: [],
    tablespaces: [],
    large_objects: 0,
    publications: [],
    subscriptions: [],
    slots: [],
    without_rows: [],
    row_counts: 'exact',
    event_triggers: [],
    parents: {},
    large_data: [],
  };
  return {
    files: [
      { path: DEFINITIONS_MEMBER, bytes: definitionsArchive(entries), format: 'pg_dump-custom' },
      { path: DOCUMENT_MEMBER, bytes: Buffer.from(`${JSON.stringify(document)}\n`), format: 'json' },
    ],
    facts: { ...writtenFacts(written), engine: { ...facts } },
  };
}

/** A column counts by itself only where it is an integer. */
function serialOf(table: PlainTable): PlainTable['serial'] {
  const type = table.columns.find(({ name }) => name === table.serial?.column)?.type;
  return type?.kind === 'integer' ? table.serial : undefined;
}

function qualified({ name }: PlainTable): string {
  return `${identifier(SCHEMA)}.${identifier(name)}`;
}

function list(columns: readonly string[]): string {
  return nameList(columns, identifier);
}

function createTable({ table, planned, next }: WrittenTable): ArchiveEntry {
  const serial = serialOf(table)?.column;
  const lines = table.columns.map(({ name, notNull }, at) => {
    const { type } = planned.columns[at]!;
    const counts = name === serial ? ` GENERATED BY DEFAULT AS IDENTITY${startOf(type, next)}` : '';
    return `${identifier(name)} ${type}${notNull ? ' NOT NULL' : ''}${counts}`;
  });
  return {
    kind: 'TABLE',
    schema: SCHEMA,
    tag: table.name,
    section: 'pre-data',
    sql: `CREATE TABLE ${qualified(table)} (\n  ${lines.join(',\n  ')}\n);\n`,
  };
}

const LAST_NUMBERS: Readonly<Record<string, bigint>> = { smallint: 2n ** 15n - 1n, integer: 2n ** 31n - 1n };

/** A counter that has given its last number stays at it: the server refuses to start behind. */
function startOf(type: string, next: bigint | undefined): string {
  if (next === undefined || next <= 0n) return '';
  const last = LAST_NUMBERS[type] ?? 2n ** 63n - 1n;
  return ` (START WITH ${next > last ? last : next})`;
}

/** Names of indexes and of tables are of one kind there. */
function keys(table: PlainTable, taken: Set<string>): ArchiveEntry[] {
  const made: ArchiveEntry[] = [];
  const add = (kind: string, name: string, sql: string) =>
    made.push({ kind, schema: SCHEMA, tag: `${table.name} ${name}`, section: 'post-data', sql });
  if (table.primaryKey.length > 0) {
    const name = uniqueName(`${table.name}_pkey`, taken, NAME_BYTES);
    add(
      'CONSTRAINT',
      name,
      `ALTER TABLE ONLY ${qualified(table)} ADD CONSTRAINT ${identifier(name)} PRIMARY KEY (${list(table.primaryKey)});\n`,
    );
  }
  for (const index of table.indexes) {
    const wanted = taken.has(index.name.toLowerCase()) ? `${table.name}_${index.name}` : index.name;
    const name = uniqueName(wanted, taken, NAME_BYTES);
    const unique = index.unique ? 'UNIQUE ' : '';
    add(
      'INDEX',
      name,
      `CREATE ${unique}INDEX ${identifier(name)} ON ${qualified(table)} (${list(index.columns)});\n`,
    );
  }
  return made;
}

function foreignKeys(table: PlainTable, written: readonly WrittenTable[]): ArchiveEntry[] {
  const taken = new Set<string>();
  return table.foreignKeys.flatMap((key): ArchiveEntry[] => {
    const clause = foreignKeyClause(key, written, identifier, qualified);
    if (clause === undefined) return [];
    const name = uniqueName(key.name, taken, NAME_BYTES);
    return [
      {
        kind: 'FK CONSTRAINT',
        schema: SCHEMA,
        tag: `${table.name} ${name}`,
        section: 'post-data',
        sql: `ALTER TABLE ONLY ${qualified(table)} ADD CONSTRAINT ${identifier(name)} ${clause};\n`,
      },
    ];
  });
}
