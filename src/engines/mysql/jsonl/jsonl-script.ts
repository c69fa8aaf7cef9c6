import { DguardError } from '../../../errors.ts';
import { lineFields } from '../../jsonl/line.ts';
import { tableLines } from '../../jsonl/lines.ts';
import type { BackupContent } from '../../types.ts';
import { AFTER_ROWS, BEFORE_ROWS } from '../dump/dump-stream.ts';
import { withoutSandboxLine } from '../dump/sandbox-line.ts';
import { identifier } from '../server/session.ts';
import { readDocument, SCHEMA_MEMBER, type TableDocument, TRIGGERS_MEMBER } from './jsonl-document.ts';

const STATEMENT_CHARS = 1024 * 1024;

/**
 * A JSONL export as the script that a dump would be: definitions, rows as INSERT statements, triggers and events.
 * Throws `corrupt` where lines, their number or their hash are not what `schema.json` says.
 */
export async function* exportScript(
  content: BackupContent,
  chosen: (table: string) => boolean,
): AsyncGenerator<Uint8Array> {
  const document = await readDocument(content);
  yield* member(content, SCHEMA_MEMBER);
  yield Buffer.from(BEFORE_ROWS);
  for (const table of document.tables) if (chosen(table.table)) yield* insertStatements(content, table);
  yield Buffer.from(AFTER_ROWS);
  yield* member(content, TRIGGERS_MEMBER);
}

async function* member(content: BackupContent, path: string): AsyncGenerator<Uint8Array> {
  const entry = await content.entry(path);
  if (entry === undefined) {
    throw new DguardError('corrupt', `the backup has no ${path}`, {
      operation: 'read backup',
      subject: path,
    });
  }
  yield* path.endsWith('.sql') ? withoutSandboxLine(content.read(entry)) : content.read(entry);
}

async function* insertStatements(content: BackupContent, table: TableDocument): AsyncGenerator<Uint8Array> {
  const fail = (why: string) =>
    new DguardError('corrupt', why, { operation: 'read table', subject: table.table });
  const columns = table.columns.filter(({ generated }) => generated !== true);
  const names = columns.map(({ name }) => identifier(name)).join(',');
  const head = `INSERT INTO ${identifier(table.table)} (${names}) VALUES\n`;
  let rows = 0;
  let text = '';
  for await (const line of tableLines(content, table.table, table)) {
    rows++;
    const values = parseLine(line, columns);
    if (values === undefined) throw fail(`line ${rows} of ${table.member} is not a row of the table`);
    if (values.some((value) => typeof value !== 'string')) {
      if (text !== '') yield Buffer.from(`${text};\n`);
      text = '';
      yield* largeRow(head, values);
      continue;
    }
    text += `${text === '' ? head : ',\n'}(${values.join(',')})`;
    if (text.length < STATEMENT_CHARS) continue;
    yield Buffer.from(`${text};\n`);
    text = '';
  }
  if (text !== '') yield Buffer.from(`${text};\n`);
}

function* largeRow(head: string, values: readonly SqlValue[]): Generator<Uint8Array> {
  yield Buffer.from(`${head}(`);
  for (const [at, value] of values.entries()) {
    if (at > 0) yield Buffer.from(',');
    if (typeof value === 'string') yield Buffer.from(value);
    else for (const piece of value) yield Buffer.from(piece);
  }
  yield Buffer.from(');\n');
}

/** A value as SQL; a large one in pieces, which together may be more than a string holds. */
export type SqlValue = string | Iterable<string>;

/** Of a value as JSON. */
const LARGE_CHARS = 16 * 1024 * 1024;
const PIECE = 1024 * 1024;

const NUMBER = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/**
 * The SQL values of one line, in the order of the columns, whatever the order of its keys; undefined for a line
 * that is none. Numbers are taken as they stand: as JavaScript's, they would lose digits.
 */
export function parseLine(line: string, columns: TableDocument['columns']): SqlValue[] | undefined {
  const fields = lineFields(line);
  if (fields === undefined || fields.size !== columns.length) return undefined;
  const values: SqlValue[] = [];
  for (const { name, form } of columns) {
    const json = fields.get(name);
    const sql = json === undefined ? undefined : sqlValue(json, form);
    if (sql === undefined) return undefined;
    values.push(sql);
  }
  return values;
}

function sqlValue(json: string, form: string): SqlValue | undefined {
  if (json === 'null') return 'NULL';
  if (form === 'number' || form === 'float') {
    if (!NUMBER.test(json)) return undefined;
    // -0 as a literal would be 0.
    return form === 'float' ? `'${json}'` : json;
  }
  const text = parsedString(json);
  if (text === undefined) return undefined;
  if (form === 'text') return json.length > LARGE_CHARS ? largeText(text) : `'${escaped(text)}'`;
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) return undefined;
  if (json.length > LARGE_CHARS) return largeBytes(bytes);
  return bytes.length === 0 ? "''" : `0x${bytes.toString('hex')}`;
}

function* largeBytes(bytes: Buffer): Generator<string> {
  yield '0x';
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.toString('hex', at, at + PIECE);
}

function* largeText(text: string): Generator<string> {
  yield "'";
  for (let at = 0, end = 0; at < text.length; at = end) {
    end = Math.min(text.length, at + PIECE);
    // Both halves of a character above U+FFFF.
    if (end < text.length && /[\ud800-\udbff]/.test(text[end - 1]!)) end++;
    yield escaped(text.slice(at, end));
  }
  yield "'";
}

function escaped(text: string): string {
  return text.replace(/[\0\n\r\x1a"'\\]/g, (char) => ESCAPED[char]!);
}

function parsedString(json: string): string | undefined {
  if (!json.startsWith('"')) return undefined;
  try {
    return JSON.parse(json) as string;
  } catch {
    return undefined;
  }
}

const ESCAPED: Readonly<Record<string, string>> = {
  '\0': '\\0',
  '\n': '\\n',
  '\r': '\\r',
  '\x1a': '\\Z',
  '"': '\\"',
  "'": "\\'",
  '\\': '\\\\',
};
