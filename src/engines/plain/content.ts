import type { ContentEntry } from '../../archive/entry.ts';
import { fromText } from '../../archive/paths.ts';
import { type ContentStream, streamsContent } from '../streams-content.ts';
import type { BackupContent } from '../types.ts';
import type { PlainWriter, WrittenTable } from './types.ts';

type Sized = WrittenTable & { readonly sizeBytes: number };

/** Tables as the content of a backup that the target's engine might have made itself. */
export function writtenContent<Written extends Sized>(
  writer: PlainWriter,
  tables: readonly Written[],
  rows: (table: Written) => AsyncIterable<Uint8Array>,
): BackupContent {
  const { files, facts } = writer.describe(tables);
  const stream = (
    path: string,
    format: string,
    size: number,
    read: ContentStream['read'],
  ): ContentStream => ({ path, size, media: MEDIA[format] ?? MEDIA['json']!, format, read });
  const streams = [
    ...tables.map((table) => stream(table.recorded.member, 'jsonl', table.sizeBytes, () => rows(table))),
    ...files.map(({ path, bytes, format }) =>
      stream(path, format, bytes.length, async function* () {
        yield bytes;
      }),
    ),
  ];
  const tableFacts = tables.map(({ table, recorded }): ContentEntry => {
    const name = writer.tableName(table);
    return {
      type: 'table',
      path: fromText(name),
      kind: 'table',
      member: recorded.member,
      table: fromText(name),
      rows: recorded.rows,
    };
  });
  return streamsContent({ facts, whole: true }, streams, tableFacts);
}

const MEDIA: Readonly<Record<string, string>> = {
  jsonl: 'application/jsonl',
  json: 'application/json',
  sql: 'application/sql',
  'pg_dump-custom': 'application/octet-stream',
};
