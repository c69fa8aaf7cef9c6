import { createHash } from 'node:crypto';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import { recordedTables } from '../../recorded-tables.ts';
import type { BackupContent, InspectRequest } from '../../types.ts';
import { encodingOf, listContents } from '../dump/archive-file.ts';
import { findArchive } from '../dump/content.ts';
import { GLOBALS_MEMBER } from '../dump/members.ts';
import { parseToc, possibleNames } from '../dump/toc.ts';
import { readDocument } from '../jsonl/jsonl-load.ts';
import type { PostgresOptions } from '../options.ts';
import { toolEnvironment } from '../server/connection.ts';
import { isReadable } from '../server/encodings.ts';
import { listedName } from '../server/table-name.ts';
import { listTools } from '../server/tools.ts';

/** The last line of pg_dumpall. */
const GLOBALS_END = '-- PostgreSQL database cluster dump complete';

/** What `pg_restore --list` says above the entries, whether there are any or not. */
const LIST_HEAD = /^; +TOC Entries: \d+$/m;

/** Whether the dump parses: pg_restore lists its contents, and they name every table that was recorded. */
export async function inspectBackup(
  content: BackupContent,
  request: InspectRequest<PostgresOptions>,
): Promise<readonly string[]> {
  const findings: string[] = [];
  const archive = await findArchive(content);
  const env = toolEnvironment(request.env);
  const options: PostgresOptions = {
    database: [],
    all_databases: false,
    client_path: request.options?.client_path ?? [],
    client_command: request.options?.client_command ?? [],
  };
  const tools = [...(await listTools({ options, env, signal: request.signal }))].sort(
    (a, b) => b.major - a.major,
  )[0];
  if (tools === undefined) {
    throw new DguardError('tool_missing', 'no pg_restore was found to read the dump with', {
      operation: 'verify',
      hint: "install PostgreSQL's client tools: apt-get install postgresql-client",
    });
  }
  const needed = Number.parseInt(content.facts.tool_version ?? '', 10);
  if (tools.major < needed) {
    throw new DguardError('tool_version', `pg_restore ${tools.version} reads no dump of pg_dump ${needed}`, {
      operation: 'verify',
      hint: `apt-get install postgresql-client-${needed}`,
    });
  }
  const read = { tempDir: request.tempDir, signal: request.signal, onBytes: () => {} };
  try {
    const list = await listContents(content, archive, tools, { ...read, env });
    const toc = parseToc(list);
    // Of a database without any object nothing is listed but how many entries there are, of encoding and the like.
    const isEmpty = LIST_HEAD.test(list) && (await recordedTables(content)).length === 0;
    if (toc.length === 0 && !isEmpty) findings.push('the dump has no contents');
    const names = new Set(toc.flatMap(possibleNames));
    if (archive.kind === 'custom' && archive.jsonl)
      findings.push(...(await inspectExport(content, request.signal)));
    else
      for (const { name, rows } of await recordedTables(content)) {
        if ((rows ?? 0) > 0 && !names.has(listedName(name)) && isReadable(name, encodingOf(content))) {
          findings.push(`the dump has no rows of ${name}, ${rows} were recorded`);
        }
      }
  } catch (error) {
    if (!(error instanceof DguardError) || error.code !== 'corrupt') throw error;
    findings.push(`pg_restore cannot read the dump: ${errorText(error)}`);
  }
  const globals = await content.entry(GLOBALS_MEMBER);
  if (globals === undefined) findings.push(`${GLOBALS_MEMBER} is missing`);
  else {
    let tail = '';
    for await (const chunk of content.read(globals))
      tail = (tail + Buffer.from(chunk).toString('latin1')).slice(-2000);
    if (!tail.includes(GLOBALS_END)) findings.push(`${GLOBALS_MEMBER} does not end as pg_dumpall ends it`);
  }
  return findings;
}

/** Each table's lines and hash against `schema.json`. */
async function inspectExport(content: BackupContent, signal: AbortSignal): Promise<readonly string[]> {
  const findings: string[] = [];
  for (const { member, rows, sha256 } of (await readDocument(content)).tables) {
    const entry = await content.entry(member);
    if (entry === undefined) {
      findings.push(`${member} is missing`);
      continue;
    }
    const digest = createHash('sha256');
    let lines = 0;
    for await (const chunk of content.read(entry)) {
      throwIfAborted(signal);
      digest.update(chunk);
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
    }
    if (lines !== rows) findings.push(`${member} has ${lines} rows, schema.json says ${rows}`);
    if (digest.digest('hex') !== sha256)
      findings.push(`${member} does not have the hash that schema.json says`);
  }
  return findings;
}
