import type { SourceRoot } from '../../engines/types.ts';
import { isOrigin } from '../../plan/naming.ts';
import { corrupt, MAX_FRAME_BYTES } from '../format.ts';
import type { FrameRow } from './frames.ts';
import { textField } from './lines.ts';

/** The first line of a root: what the index as a whole is of. */
export interface RootHeader {
  readonly index: 1;
  readonly id: string;
  readonly entries: number;
  readonly blocks: number;
  readonly sources: readonly SourceRoot[];
}

export function rootHeaderText(header: RootHeader): string {
  const sources = header.sources.map(
    (s) => `{${textField('path', s.path)},${textField('entry', s.entry)},"kind":"${s.kind}"}`,
  );
  return `{"index":1,"id":"${header.id}","entries":${header.entries},"blocks":${header.blocks},"sources":[${sources.join(',')}]}`;
}

export function rowText(row: FrameRow): string {
  const first = row.first === undefined ? '' : `,${textField('first', row.first)}`;
  const block = row.block === undefined ? '' : `,"artifact":${row.artifact ?? 0},"block":${row.block}`;
  return (
    `{"section":"${row.section}","level":${row.level},"origin":"${row.origin}","offset":${row.offset},` +
    `"stored":${row.stored},"length":${row.length},"sha256":"${row.sha256}"${first}${block},` +
    `"lines":${row.lines},"bytes":${row.bytes},"origins":${JSON.stringify(row.origins)}}`
  );
}

/** Reads a root's first line. Errors: `corrupt`. */
export function parseRootHeader(text: string, subject: string): RootHeader {
  const value = parseObject(text, subject);
  const sources = value['sources'];
  if (value['index'] !== 1 || typeof value['id'] !== 'string' || !Array.isArray(sources)) {
    throw corrupt(subject, "the index's root has no proper first line");
  }
  return {
    index: 1,
    id: value['id'],
    entries: countOf(value, 'entries', subject),
    blocks: countOf(value, 'blocks', subject),
    sources: sources.map((source: unknown) => parseSource(source, subject)),
  };
}

function parseSource(value: unknown, subject: string): SourceRoot {
  const source = value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};
  const path = byteString(source, 'path');
  const entry = byteString(source, 'entry');
  const kind = source['kind'];
  if (path === undefined || entry === undefined || (kind !== 'file' && kind !== 'directory')) {
    throw corrupt(subject, "the index's root names a source that is none");
  }
  return { path, entry, kind };
}

/** Reads a row as hostile input: types, ranges, the limit of a frame. Errors: `corrupt`. */
export function parseRow(text: string, subject: string): FrameRow {
  const value = parseObject(text, subject);
  const count = (field: string) => countOf(value, field, subject);
  const section = value['section'];
  const origin = value['origin'];
  const sha256 = value['sha256'];
  const origins = value['origins'];
  const known = section === 'artifacts' || section === 'blocks' || section === 'entries';
  const named = typeof origin === 'string' && isOrigin(origin);
  const hashed = typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256);
  if (!known || !named || !hashed || !Array.isArray(origins) || count('length') > MAX_FRAME_BYTES) {
    throw corrupt(subject, 'an index row is not well-formed');
  }
  const first = byteString(value, 'first');
  return {
    section,
    level: count('level'),
    origin,
    offset: count('offset'),
    stored: count('stored'),
    length: count('length'),
    sha256,
    ...(first === undefined ? {} : { first }),
    ...(value['block'] === undefined ? {} : { artifact: count('artifact'), block: count('block') }),
    lines: count('lines'),
    bytes: count('bytes'),
    origins: origins.filter((o): o is string => typeof o === 'string'),
  };
}

function countOf(value: Record<string, unknown>, field: string, subject: string): number {
  const number = value[field];
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) {
    throw corrupt(subject, `an index row has a wrong ${field}`);
  }
  return number;
}

function parseObject(text: string, subject: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === 'object') return value as Record<string, unknown>;
  } catch (cause) {
    throw corrupt(subject, 'an index row is not JSON', cause);
  }
  throw corrupt(subject, 'an index row is not a JSON object');
}

function byteString(value: Record<string, unknown>, field: string): string | undefined {
  const plain = value[field];
  if (typeof plain === 'string') return Buffer.from(plain, 'utf8').toString('latin1');
  const coded = value[`${field}_b64`];
  return typeof coded === 'string' ? Buffer.from(coded, 'base64').toString('latin1') : undefined;
}
