import { createHash } from 'node:crypto';
import { fromText } from '../../archive/paths.ts';
import { DguardError, throwIfAborted } from '../../errors.ts';
import { DOCUMENT_MEMBER } from '../jsonl/document.ts';
import { tableLines } from '../jsonl/lines.ts';
import type { BackupContent, Dump, Warning } from '../types.ts';
import { chooseTables } from './choose.ts';
import { writtenContent } from './content.ts';
import { createDigest } from './digest.ts';
import { proveTables } from './prove.ts';
import { decodeLine, placed } from './rows.ts';
import {
  type PlainColumn,
  type PlainForm,
  type PlainTable,
  type PlainValue,
  type PlainWriter,
  type PlannedColumn,
  type PlannedTable,
  Unfit,
  type WrittenTable,
} from './types.ts';
import { digitsOf } from './values.ts';

export interface TranslateRequest {
  readonly from: PlainForm;
  readonly to: PlainForm & { readonly write: PlainWriter };
  /** Globs of tables, as the source's engine names them; empty: all. */
  readonly only: readonly string[];
  readonly subject: string;
  readonly signal: AbortSignal;
  readonly warn: (warning: Warning) => void;
}

export interface Translation {
  /** The tables as an export of the target's own engine. */
  readonly content: BackupContent;
  /** Holds what was loaded, dumped again by the target's engine as JSONL, against what was read. Throws `target_failed`. */
  prove(dump: Dump): Promise<void>;
}

const CHUNK_CHARS = 256 * 1024;

/**
 * Makes of one engine's JSONL export one of another's. All rows are read twice: first to find, before anything is
 * loaded, what the target cannot hold, and to learn hashes and the numbers that go on; then while they are loaded.
 * Errors: `unsupported` for tables that are not plain, `target_refused` for values, `corrupt`.
 */
export async function translate(content: BackupContent, request: TranslateRequest): Promise<Translation> {
  const { from, to, subject, warn } = request;
  if ((await content.entry(DOCUMENT_MEMBER)) === undefined) {
    throw new DguardError(
      'unsupported',
      `only a JSONL export can be restored to ${to.title}, and this backup is none`,
      {
        operation: 'translate',
        subject,
        hint: 'make one: options: {format: jsonl} in the job, then back up again',
      },
    );
  }
  const source = await from.read(content);
  const tables = withinChosen(chooseTables(source.tables, request.only, subject, warn));
  const planned = new Map(tables.map((table) => [table, to.write.plan(table, tables)]));
  refuse(tables, planned, request);
  for (const message of source.losses) warn({ message, subject, partial: false });
  for (const table of tables) {
    for (const message of [...table.losses, ...planned.get(table)!.losses])
      warn({ message, subject: fromText(table.label), partial: false });
  }
  const taken = new Set<string>();
  const written: (WrittenTable & { readonly sizeBytes: number; readonly sum: string })[] = [];
  for (const table of tables) {
    const plan = planned.get(table)!;
    const { next, sum, ...measured } = await measure(content, table, plan, request.signal);
    const member = to.write.memberName(table, taken);
    written.push({
      table,
      planned: plan,
      recorded: { member, rows: measured.rows, sha256: measured.sha256 },
      sizeBytes: measured.sizeBytes,
      sum,
      ...(next === undefined ? {} : { next }),
    });
  }
  return {
    content: writtenContent(to.write, written, (one) =>
      translateRows(content, one.table, one.planned, request.signal),
    ),
    prove: (dump) => proveTables(to, written, dump, request.signal),
  };
}

/** Without the foreign keys to tables that stay away; a primary key is not null. */
function withinChosen(tables: readonly PlainTable[]): PlainTable[] {
  const labels = new Set(tables.map(({ label }) => label));
  return tables.map((table) => {
    const foreignKeys = table.foreignKeys.filter((key) => labels.has(key.table));
    const lost = table.foreignKeys.filter((key) => !labels.has(key.table));
    const losses = lost.map(
      (key) => `the foreign key to ${key.table} is left out: that table is not restored`,
    );
    const columns = table.columns.map((column) => ({
      ...column,
      notNull: column.notNull || table.primaryKey.includes(column.name),
    }));
    return { ...table, columns, foreignKeys, losses: [...table.losses, ...losses] };
  });
}

/** All that cannot come along is said at once. */
function refuse(
  tables: readonly PlainTable[],
  planned: ReadonlyMap<PlainTable, PlannedTable>,
  { from, to, subject }: TranslateRequest,
): void {
  const reasons = tables.flatMap((table) =>
    [...table.refusals, ...planned.get(table)!.refusals].map((why) => `${table.label}: ${why}`),
  );
  if (reasons.length === 0) return;
  const more = reasons.length > 10 ? `; and ${reasons.length - 10} more` : '';
  throw new DguardError(
    'unsupported',
    `these have no plain counterpart between ${from.title} and ${to.title}: ${reasons.slice(0, 10).join('; ')}${more}`,
    {
      operation: 'translate',
      subject,
      hint: 'nothing was changed; choose the other tables: --only TABLE (repeatable)',
    },
  );
}

async function measure(content: BackupContent, table: PlainTable, plan: PlannedTable, signal: AbortSignal) {
  const sha256 = createHash('sha256');
  const digest = createDigest(table.columns);
  const serial = table.columns.findIndex(({ name }) => name === table.serial?.column);
  let next = table.serial?.next;
  let sizeBytes = 0;
  for await (const chunk of translateRows(content, table, plan, signal, (row) => {
    digest.add(row);
    const value = serial < 0 ? null : row[serial];
    if (typeof value !== 'string' || digitsOf(value)?.fraction !== '') return;
    const after = BigInt(value) + 1n;
    if (next === undefined || after > next) next = after;
  })) {
    sha256.update(chunk);
    sizeBytes += chunk.length;
  }
  return { rows: digest.rows(), sum: digest.sum(), sha256: sha256.digest('hex'), sizeBytes, next };
}

/** The rows of a table as lines of the target's export. */
async function* translateRows(
  content: BackupContent,
  table: PlainTable,
  plan: PlannedTable,
  signal: AbortSignal,
  onRow?: (row: ReturnType<typeof decodeLine>) => void,
): AsyncGenerator<Uint8Array> {
  const keys = table.columns.map(({ name }, at) => `${at === 0 ? '' : ','}${JSON.stringify(name)}:`);
  let text = '';
  let line = 0;
  for await (const source of tableLines(content, table.label, table.recorded)) {
    line++;
    const row = decodeLine(table, source, line);
    onRow?.(row);
    text += '{';
    for (const [at, column] of table.columns.entries()) {
      const json = placed({ table, line }, column.name, () =>
        encoded(row[at] ?? null, column, plan.columns[at]!),
      );
      text += keys[at]! + json;
    }
    text += '}\n';
    if (text.length < CHUNK_CHARS) continue;
    throwIfAborted(signal);
    yield Buffer.from(text);
    text = '';
  }
  if (text !== '') yield Buffer.from(text);
}

/** Primary keys may be NULL in SQLite, and nowhere else. */
function encoded(value: PlainValue, { notNull }: PlainColumn, to: PlannedColumn): string {
  if (value !== null) return to.encode(value);
  if (notNull) throw new Unfit('it is NULL, and its column is a key, or NOT NULL');
  return 'null';
}
