import { createHash } from 'node:crypto';
import { DguardError } from '../../../errors.ts';
import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import type { Member, StreamMember } from '../../member.ts';
import type { Dump, DumpFacts, DumpRequest } from '../../types.ts';
import { chooseTables } from '../select.ts';
import { countRows, listTables, schemaHash, type TableInfo } from '../server/catalog.ts';
import {
  type ColumnDocument,
  exportExpression,
  readColumns,
  rowLine,
  storedColumns,
  VALUE_ENCODING,
} from '../server/columns.ts';
import {
  type CodeDocument,
  readCode,
  readTableStatements,
  readUnheld,
  type TableStatements,
} from '../server/definitions.ts';
import { serverError } from '../server/failures.ts';
import { qualified } from '../server/sql.ts';
import { factsOf, identityOf, type Subject } from './subject.ts';

export const DOCUMENT_FORMAT = 'dguard-sqlserver-jsonl';

/** `schema.json` of a JSONL export: what its files are, for any reader, and how to make the tables again. */
export interface SchemaDocument {
  readonly format: typeof DOCUMENT_FORMAT;
  readonly version: 1;
  readonly server_version: string;
  readonly collation: string | null;
  readonly compatibility: number;
  readonly value_encoding: Readonly<Record<string, string>>;
  readonly tables: readonly TableDocument[];
  readonly code: readonly CodeDocument[];
}

export interface TableDocument extends TableStatements {
  readonly schema: string;
  readonly table: string;
  /** Undefined where only its definition was asked for. */
  readonly member?: string;
  readonly rows: number;
  /** SHA-256 of the member's bytes. */
  readonly sha256?: string;
  readonly columns: readonly ColumnDocument[];
}

interface TableExport {
  readonly info: TableInfo;
  readonly columns: readonly ColumnDocument[];
  readonly statements: TableStatements;
  readonly member?: string;
  result?: { readonly rows: number; readonly sha256: string };
}

const CHUNK_BYTES = 256 * 1024;

/** One JSONL member per table and `schema.json`, all of one transaction that sees the database as it began. */
export async function dumpRows(opened: Subject, request: DumpRequest): Promise<Dump> {
  const { server, session, info, facts, subject, database } = opened;
  if (!facts.snapshotIsolation && !facts.readOnly) {
    throw new DguardError(
      'source_failed',
      'the database allows no snapshot: tables would be of different moments',
      {
        operation: 'dump',
        subject,
        hint: `as an administrator: ALTER DATABASE [${database}] SET ALLOW_SNAPSHOT_ISOLATION ON`,
      },
    );
  }
  await session.run('SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION');
  const tables = await listTables(session);
  // BEGIN alone pins no snapshot: the first row that is read does.
  if (tables[0] !== undefined) await countRows(session, tables[0]);
  const snapshotAt = server.source.now();
  const kept = new Set(chooseTables(tables, request, subject).map(({ name }) => name));
  const taken = new Set<string>();
  const exports: TableExport[] = [];
  for (const table of tables) {
    exports.push({
      info: table,
      columns: await readColumns(session, table),
      statements: await readTableStatements(session, table),
      ...(kept.has(table.name) ? { member: memberName(table.name, taken) } : {}),
    });
  }
  const code = await readCode(session);
  const sha256 = await schemaHash(session);
  const unheld = await readUnheld(session);
  if (unheld.length > 0) {
    const message = `a JSONL export does not hold ${unheld.join(', ')}; a native backup does`;
    server.source.warn({ message, subject, partial: false });
  }
  const members = exports.flatMap((exported): StreamMember[] => {
    const { member, info: table } = exported;
    if (member === undefined) return [];
    return [
      {
        kind: 'stream',
        path: member,
        media: 'application/jsonl',
        format: 'jsonl',
        open: () => exportRows(opened, exported),
        tables: async () => [{ name: table.name, rows: exported.result?.rows ?? 0 }],
      },
    ];
  });
  members.push({
    kind: 'stream',
    path: DOCUMENT_MEMBER,
    media: 'application/json',
    format: 'json',
    async *open() {
      // Those that come after it by name are read once more: the snapshot stands still.
      for (const exported of exports) {
        if (exported.member === undefined || exported.result !== undefined) continue;
        for await (const _ of exportRows(opened, exported));
      }
      const document: SchemaDocument = {
        format: DOCUMENT_FORMAT,
        version: 1,
        server_version: info.version,
        collation: facts.collation,
        compatibility: facts.compatibility,
        value_encoding: VALUE_ENCODING,
        tables: exports.map(({ info: table, columns, statements, member, result }) => ({
          schema: table.schema,
          table: table.table,
          rows: result?.rows ?? 0,
          ...(member === undefined ? {} : { member, sha256: result!.sha256 }),
          columns,
          ...statements,
        })),
        code,
      };
      yield Buffer.from(`${JSON.stringify(document, null, 2)}\n`);
    },
  });
  members.sort((a, b) => (a.path < b.path ? -1 : 1));
  const patterned = request.include.length > 0 || request.exclude.length > 0;
  return {
    snapshotAt,
    identity: identityOf(opened),
    ...(patterned ? { patterns: { include: request.include, exclude: request.exclude } } : {}),
    async *members(): AsyncGenerator<Member> {
      yield* members;
    },
    async facts(): Promise<DumpFacts> {
      const exported = exports.filter(({ member }) => member !== undefined);
      return {
        database_version: info.version,
        tool: 'dguard',
        consistency: 'snapshot',
        schema_sha256: sha256,
        tables_count: exported.length,
        rows: exported.reduce((sum, { result }) => sum + (result?.rows ?? 0), 0),
        engine: { ...factsOf(opened, 'jsonl') },
      };
    },
    close: () => session.close(),
  };
}

/** The rows of a table as lines. The count is checked against the server's own, in the same transaction. */
async function* exportRows({ session, subject }: Subject, exported: TableExport): AsyncGenerator<Uint8Array> {
  const { info, columns } = exported;
  const stored = storedColumns(columns).map((column) => ({ name: column.name, ...exportExpression(column) }));
  const hash = createHash('sha256');
  let rows = 0;
  let lines: string[] = [];
  let size = 0;
  const flush = () => {
    const bytes = Buffer.from(lines.join(''));
    hash.update(bytes);
    lines = [];
    size = 0;
    return bytes;
  };
  const list = stored.length === 0 ? '1' : stored.map(({ sql }) => sql).join(', ');
  try {
    for await (const values of session.stream(`SELECT ${list} FROM ${qualified(info.schema, info.table)}`)) {
      const line = rowLine(stored, values as (string | null)[]);
      lines.push(line);
      size += line.length;
      rows++;
      if (size >= CHUNK_BYTES) yield flush();
    }
    if (size > 0) yield flush();
    const counted = await countRows(session, info);
    if (counted !== rows) {
      throw new DguardError('source_failed', `${info.name}: ${rows} rows came of ${counted}`, {
        operation: 'dump',
        subject,
      });
    }
  } catch (error) {
    throw serverError(error, 'source_failed', 'dump', `${subject}: ${info.name}`);
  }
  exported.result = { rows, sha256: hash.digest('hex') };
}

/** Names as they are where a file may be called so; others with `%` and two hexadecimal digits. */
export function memberName(table: string, taken: Set<string>): string {
  const plain = table.replace(/[^A-Za-z0-9._ -]/g, (sign) =>
    [...Buffer.from(sign)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  const stem =
    plain.length <= 200
      ? plain
      : `${plain.slice(0, 190)}~${createHash('sha256').update(table).digest('hex').slice(0, 8)}`;
  // Names that differ only by case are one file to some who unpack it.
  let name = `${stem}.jsonl`;
  for (let number = 2; taken.has(name.toLowerCase()) || name === DOCUMENT_MEMBER; number++)
    name = `${stem}~${number}.jsonl`;
  taken.add(name.toLowerCase());
  return name;
}
