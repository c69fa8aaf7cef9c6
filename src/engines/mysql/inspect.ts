import { toBytes } from '../../archive/paths.ts';
import { DguardError, errorText } from '../../errors.ts';
import type { BackupContent, ContentEntry, InspectRequest, TableFact } from '../types.ts';
import { DUMP_MEMBER } from './dump.ts';
import { dumpHandler } from './load.ts';
import { withoutSandboxLine } from './sandbox-line.ts';
import { type StatementHandler, scanStatements } from './scanner.ts';
import { nameOf, tokenize } from './tokens.ts';

const END_MARK = /^-- Dump completed(?: on [^\n]*)?\s*$/m;
const TAIL_BYTES = 4096;

/** The dump of a backup. Throws `corrupt` where there is none. */
export async function findDump(content: BackupContent): Promise<Extract<ContentEntry, { type: 'stream' }>> {
  const entry = await content.entry(DUMP_MEMBER);
  if (entry?.type === 'stream') return entry;
  throw new DguardError('corrupt', `the backup has no ${DUMP_MEMBER}`, { operation: 'read backup' });
}

/** The tables with their rows that were recorded beside the dump. */
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

/** Whether the dump parses, statement by statement, has its end, and defines every table that was recorded. */
export async function inspectBackup(
  content: BackupContent,
  request: InspectRequest,
): Promise<readonly string[]> {
  const findings: string[] = [];
  const entry = await findDump(content);
  const created = new Set<string>();
  const handler = dumpHandler({ schema: 'x', definer: 'keep' }, { events: {}, definers: new Set() });
  const watching: StatementHandler = {
    insert: () => 'skip',
    statement(text) {
      if (/CREATE\s+TABLE/i.test(text)) {
        const name = tokenize(text).find(({ type }) => type === 'name');
        if (name !== undefined) created.add(Buffer.from(nameOf(name), 'latin1').toString('utf8'));
      }
      handler.statement(text);
      return undefined;
    },
  };
  let tail = Buffer.alloc(0);
  async function* read() {
    for await (const chunk of content.read(entry)) {
      request.onProgress(chunk.length);
      tail = Buffer.from(Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES));
      yield chunk;
    }
  }
  try {
    for await (const _ of scanStatements(withoutSandboxLine(read()), watching));
  } catch (error) {
    if (!(error instanceof DguardError) || error.code !== 'corrupt') throw error;
    findings.push(`${DUMP_MEMBER}: ${errorText(error)}`);
  }
  if (!END_MARK.test(tail.toString('latin1'))) findings.push(`${DUMP_MEMBER} lacks the line that ends it`);
  for (const { name, rows } of await recordedTables(content)) {
    if (!created.has(name)) findings.push(`the dump does not define ${name}, ${rows} rows were recorded`);
  }
  return findings;
}
