import { createHash } from 'node:crypto';
import { DguardError } from '../../errors.ts';
import type { BackupContent } from '../types.ts';
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
  const entry = await content.entry(table.member);
  if (entry === undefined) throw fail(`the backup has no ${table.member}`);
  const keys = storedKeys(table);
  const hash = createHash('sha256');
  const hashed = async function* (): AsyncGenerator<Uint8Array> {
    for await (const chunk of content.read(entry)) {
      hash.update(chunk);
      onBytes(chunk.length);
      yield chunk;
    }
  };
  let rows = 0;
  for await (const line of splitLines(hashed())) {
    rows++;
    yield parseRow(line, keys, (why, cause) => fail(`line ${rows} of ${table.member}: ${why}`, cause));
  }
  if (rows !== table.rows) throw fail(`${table.member} has ${rows} rows, schema.json says ${table.rows}`);
  if (hash.digest('hex') !== table.sha256) throw fail(`${table.member} differs from its hash in schema.json`);
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

/** The lines of a byte stream, without their ends. A last line without one is a line. */
async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      const tail = bytes.subarray(from, end);
      yield (begun.length === 0 ? tail : Buffer.concat([...begun, tail])).toString('utf8');
      begun = [];
      from = end + 1;
    }
    // A copy: the chunk's memory may be used again once the next one is asked for.
    if (from < bytes.length) begun.push(Buffer.from(bytes.subarray(from)));
  }
  if (begun.length > 0) yield Buffer.concat(begun).toString('utf8');
}
