import { DguardError, errorText } from '../../../errors.ts';
import { recordedTables } from '../../recorded-tables.ts';
import type { BackupContent, InspectRequest } from '../../types.ts';
import { DUMP_MEMBER } from '../dump/dump.ts';
import { USERS_END, USERS_MEMBER } from '../dump/users.ts';
import { nameOf, tokenize } from '../sql/tokens.ts';
import { findScript } from './content.ts';
import { dumpHandler } from './load.ts';
import { type StatementHandler, scanStatements } from './scanner.ts';

const END_MARK = /^-- Dump completed(?: on [^\n]*)?\s*$/m;
const TAIL_BYTES = 4096;

/**
 * Whether the dump parses, statement by statement, has its end, and defines every table that was recorded; of an
 * export also whether every line is a row, and their number and hash are what `schema.json` says.
 */
export async function inspectBackup(
  content: BackupContent,
  request: InspectRequest,
): Promise<readonly string[]> {
  const findings: string[] = [];
  const script = await findScript(content);
  const created = new Set<string>();
  const handler = dumpHandler(
    { schema: 'x', from: '', sequences: '', definer: 'keep' },
    { events: {}, definers: new Set() },
  );
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
    for await (const chunk of script.read(() => true)) {
      request.onProgress(chunk.length);
      tail = Buffer.from(Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES));
      yield chunk;
    }
  }
  try {
    for await (const _ of scanStatements(read(), watching));
  } catch (error) {
    if (!(error instanceof DguardError) || error.code !== 'corrupt') throw error;
    findings.push(`${script.format === 'native' ? `${DUMP_MEMBER}: ` : ''}${errorText(error)}`);
  }
  if (!END_MARK.test(tail.toString('latin1'))) findings.push(`${DUMP_MEMBER} lacks the line that ends it`);
  for (const { name, rows } of await recordedTables(content)) {
    if (!created.has(name)) findings.push(`the dump does not define ${name}, ${rows} rows were recorded`);
  }
  const users = await content.entry(USERS_MEMBER);
  if (users !== undefined) {
    let end = '';
    for await (const chunk of content.read(users))
      end = (end + Buffer.from(chunk).toString('latin1')).slice(-2 * USERS_END.length);
    if (!end.trimEnd().endsWith(USERS_END)) findings.push(`${USERS_MEMBER} lacks the line that ends it`);
  }
  return findings;
}
