import { createHash } from 'node:crypto';
import { createCollector } from '../../../archive/heap.ts';
import { toBytes } from '../../../archive/paths.ts';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import { createFingerprint } from '../../jsonl/fingerprint.ts';
import type { BackupContent, InspectRequest } from '../../types.ts';
import { checkDocument } from '../bson/bson.ts';
import { documentsOfPack } from '../bson/pack.ts';
import { packsOf } from '../bson/packs.ts';
import { exportFacts, type Part, readParts } from '../dump/content.ts';
import { JSONL_END, SCHEMA_END } from '../dump/members.ts';
import type { MongodbOptions } from '../options.ts';
import { INSERT_LIMITS } from '../server/raw.ts';

/** Whether every document is one, and each collection holds those that were recorded. */
export async function inspectBackup(
  content: BackupContent,
  request: InspectRequest<MongodbOptions>,
): Promise<readonly string[]> {
  const rows = new Map<string, number | undefined>();
  for await (const entry of content.entries()) {
    if (entry.type === 'table') rows.set(toBytes(entry.table).toString('utf8'), entry.rows);
  }
  const parts = await readParts(content);
  const findings: string[] = [];
  for (const part of parts) {
    rows.delete(part.info.name);
    if (part.entry === undefined) continue;
    try {
      findings.push(...(await inspectPart(content, part, request)));
    } catch (error) {
      if (!(error instanceof DguardError) || error.code !== 'corrupt') throw error;
      findings.push(`${part.info.name}: ${errorText(error)}`);
    }
  }
  for (const [name, count] of rows) findings.push(`${name} is missing, ${count} documents were recorded`);
  return findings;
}

async function inspectPart(
  content: BackupContent,
  { info, entry, format, dumped }: Part,
  { signal, onProgress }: InspectRequest,
): Promise<string[]> {
  const print = createFingerprint();
  const digest = createHash('sha256');
  const collect = createCollector();
  async function* read() {
    for await (const chunk of content.read(entry!)) {
      throwIfAborted(signal);
      onProgress(chunk.length);
      if (format === 'jsonl') digest.update(chunk);
      yield chunk;
    }
  }
  for await (const pack of packsOf(read(), format, INSERT_LIMITS)) {
    for (const one of documentsOfPack(pack)) {
      if (format === 'bson') checkDocument(one);
      print.add(one);
    }
    collect(pack.bytes.length);
  }
  const findings: string[] = [];
  if (dumped !== undefined && dumped.documents !== print.documents)
    findings.push(`${info.name} has ${print.documents} documents, ${dumped.documents} were recorded`);
  else if (dumped !== undefined && dumped.sum !== print.sum())
    findings.push(`${info.name} does not hold the documents that were recorded`);
  if (format === 'jsonl') {
    const { sha256 } = await exportFacts(content, entry!.path.slice(0, -JSONL_END.length) + SCHEMA_END);
    if (sha256 !== digest.digest('hex'))
      findings.push(`${info.name}${JSONL_END} does not have the hash that its schema document says`);
  }
  return findings;
}
