import { DguardError } from '../../../errors.ts';
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
    text += `${text === '' ? head : ',\n'}(${values.join(',')})`;
    if (text.length < STATEMENT_CHARS) continue;
    yield Buffer.from(`${text};\n`);
    text = '';
  }
  if (text !== '') yield Buffer.from(`${text};\n`);
}

interface Token {
  readonly sign?: string;
  /** With its quotes. */
  readonly string?: string;
  readonly plain?: string;
}

const PLAIN = /[\w.+-]+/y;
const NUMBER = /^-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** The tokens of a line of JSON. Strings may be megabytes: they are searched, not matched. */
function tokensOf(line: string): { next(): Token | undefined; rest(): string } {
  let at = 0;
  return {
    rest: () => line.slice(at),
    next() {
      while (line[at] === ' ') at++;
      const char = line[at];
      if (char === undefined) return undefined;
      if ('{}:,'.includes(char)) {
        at++;
        return { sign: char };
      }
      if (char === '"') {
        const end = stringEnd(line, at);
        if (end < 0) return undefined;
        const string = line.slice(at, end + 1);
        at = end + 1;
        return { string };
      }
      PLAIN.lastIndex = at;
      const plain = PLAIN.exec(line)?.[0];
      if (plain === undefined) return undefined;
      at += plain.length;
      return { plain };
    },
  };
}

/** Where the string that begins at `from` has its last quote; -1: nowhere. */
function stringEnd(line: string, from: number): number {
  for (let end = line.indexOf('"', from + 1); end >= 0; end = line.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (line[end - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return -1;
}

/**
 * The SQL values of one line, in the order of the columns, whatever the order of its keys; undefined for a line
 * that is none. Numbers are taken as they stand: as JavaScript's, they would lose digits.
 */
export function parseLine(line: string, columns: TableDocument['columns']): string[] | undefined {
  const { next, rest } = tokensOf(line);
  const found = new Map<string, string>();
  const forms = new Map(columns.map(({ name, form }) => [name, form]));
  if (next()?.sign !== '{') return undefined;
  for (;;) {
    const name = parsed(next()?.string);
    if (name === undefined || next()?.sign !== ':') return undefined;
    const value = next();
    const form = forms.get(name);
    if (value === undefined || form === undefined || found.has(name)) return undefined;
    const sql = sqlValue(value, form);
    if (sql === undefined) return undefined;
    found.set(name, sql);
    const sign = next()?.sign;
    if (sign === '}') break;
    if (sign !== ',') return undefined;
  }
  if (rest().trim() !== '' || found.size !== columns.length) return undefined;
  return columns.map(({ name }) => found.get(name)!);
}

function parsed(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

function sqlValue({ string, plain }: Token, form: string): string | undefined {
  if (plain === 'null') return 'NULL';
  // -0 as a literal would be 0.
  if (plain !== undefined && NUMBER.test(plain))
    return form === 'float' ? `'${plain}'` : form === 'number' ? plain : undefined;
  const text = parsed(string);
  if (text === undefined || form === 'number' || form === 'float') return undefined;
  if (form === 'text') return `'${text.replace(/[\0\n\r\x1a"'\\]/g, (char) => ESCAPED[char]!)}'`;
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) return undefined;
  return bytes.length === 0 ? "''" : `0x${bytes.toString('hex')}`;
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
