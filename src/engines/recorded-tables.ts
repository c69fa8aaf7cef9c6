import { toBytes } from '../archive/paths.ts';
import type { BackupContent, TableFact } from './types.ts';

/** The tables with their rows that were recorded when the backup was made. */
export async function recordedTables(content: BackupContent): Promise<TableFact[]> {
  const tables: TableFact[] = [];
  for await (const entry of content.entries()) {
    if (entry.type !== 'table') continue;
    // Names in an index are byte strings.
    const name = toBytes(entry.table).toString('utf8');
    tables.push({ name, ...(entry.rows === undefined ? {} : { rows: entry.rows }) });
  }
  return tables;
}
