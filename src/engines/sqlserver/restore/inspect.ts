import { createHash } from 'node:crypto';
import type { ContentEntry } from '../../../archive/entry.ts';
import { DguardError, errorText } from '../../../errors.ts';
import { textLines } from '../../jsonl/lines.ts';
import type { BackupContent, InspectRequest } from '../../types.ts';
import { BACKUP_MEMBER } from '../dump/dump.ts';
import { sourceFacts } from '../dump/facts.ts';
import { readDocument } from './jsonl-load.ts';

/**
 * What the first bytes of a backup file are: a tape descriptor block of the Microsoft Tape Format (`TAPE`), or
 * the mark of a compressed one.
 */
const MAGICS = ['TAPE', 'MSSQLBAK'];

/** The backup file of a native backup. Throws `corrupt` where there is none. */
export async function findBackup(content: BackupContent): Promise<Extract<ContentEntry, { type: 'stream' }>> {
  const entry = await content.entry(BACKUP_MEMBER);
  if (entry?.type === 'stream') return entry;
  throw new DguardError('corrupt', `the backup has no ${BACKUP_MEMBER}`, { operation: 'read backup' });
}

/**
 * Of a native backup no more than its beginning can be told without a server: `--level restore` lets one read
 * it. Of a JSONL export every line is parsed and counted.
 */
export async function inspectBackup(
  content: BackupContent,
  request: InspectRequest,
): Promise<readonly string[]> {
  return sourceFacts(content.facts.engine).kind === 'native'
    ? await inspectNative(content, request)
    : await inspectRows(content, request);
}

async function inspectNative(content: BackupContent, request: InspectRequest): Promise<string[]> {
  const entry = await findBackup(content);
  let head = Buffer.alloc(0);
  for await (const chunk of content.read(entry)) {
    if (head.length < 8) head = Buffer.concat([head, chunk.subarray(0, 8)]);
    request.onProgress(chunk.length);
  }
  const begin = head.toString('latin1');
  return MAGICS.some((magic) => begin.startsWith(magic))
    ? []
    : [`${BACKUP_MEMBER} does not begin as a backup file of SQL Server does`];
}

async function inspectRows(content: BackupContent, request: InspectRequest): Promise<string[]> {
  const findings: string[] = [];
  for (const { member, rows, sha256, columns } of (await readDocument(content)).tables) {
    if (member === undefined) continue;
    const entry = await content.entry(member);
    if (entry === undefined) {
      findings.push(`the backup has no ${member}`);
      continue;
    }
    const hash = createHash('sha256');
    async function* counted(): AsyncGenerator<Uint8Array> {
      for await (const chunk of content.read(entry!)) {
        hash.update(chunk);
        request.onProgress(chunk.length);
        yield chunk;
      }
    }
    let found = 0;
    try {
      for await (const line of textLines(counted())) {
        const row: unknown = JSON.parse(line);
        if (typeof row !== 'object' || row === null || Object.keys(row).length > columns.length)
          throw new Error('a line is no row of it');
        found++;
      }
    } catch (error) {
      if (error instanceof DguardError && error.code !== 'corrupt') throw error;
      findings.push(`${member}: line ${found + 1}: ${errorText(error)}`);
      continue;
    }
    if (found !== rows) findings.push(`${member} has ${found} rows, ${rows} were recorded`);
    if (hash.digest('hex') !== sha256) findings.push(`${member} is not what schema.json says`);
  }
  return findings;
}
