import { DguardError } from '../../../errors.ts';
import { tableLines } from '../../jsonl/lines.ts';
import type { BackupContent } from '../../types.ts';
import type { TableDocument } from './schema-document.ts';
import type { SqlValue } from './values.ts';
import { decodeValue, hasRealAffinity } from './values.ts';

/**
 * The rows of one exported table, their values in the order of its stored columns, the rowid (where it was
 * kept) last. At the end the number of rows and the hash of the bytes are compared with `schema.json`.
 * Throws `corrupt`.
 */
export async function* readTable(
  content: BackupContent,
  table: TableDocument,
  onBytes: (count: number) => void,
): AsyncGenerator<SqlValue[]> {
  const fail = (why: string, cause?: unknown) =>
    new DguardError('corrupt', why, { operation: 'read table', subject: table.name, cause });
  const keys = storedKeys(table);
  let line = 0;
  for await (const text of tableLines(content, table.name, table, onBytes)) {
    line++;
    yield parseRow(text, keys, (why, cause) => fail(`line ${line} of ${table.member}: ${why}`, cause));
  }
}

interface StoredKey {
  readonly name: string;
  readonly real: boolean;
}

function storedKeys(table: TableDocument): StoredKey[] {
  const keys = table.columns
    .filter((column) => !column.generated)
    .map((column) => ({ name: column.name, real: hasRealAffinity(column.type) }));
  return table.rowid_key === undefined ? keys : [...keys, { name: table.rowid_key, real: false }];
}

function parseRow(
  line: string,
  keys: readonly StoredKey[],
  fail: (why: string, cause?: unknown) => DguardError,
): SqlValue[] {
  let row: Record<string, unknown>;
  try {
    row = JSON.parse(line) as Record<string, unknown>;
  } catch (error) {
    throw fail('not JSON', error);
  }
  if (row === null || typeof row !== 'object' || Object.keys(row).length !== keys.length) {
    throw fail(`not a row of ${keys.length} values`);
  }
  return keys.map(({ name, real }) => {
    if (!Object.hasOwn(row, name)) throw fail(`no value of ${name}`);
    return decodeValue(row[name], real);
  });
}
