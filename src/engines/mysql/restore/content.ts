import { DguardError } from '../../../errors.ts';
import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import type { BackupContent } from '../../types.ts';
import { DUMP_MEMBER } from '../dump/dump.ts';
import { withoutSandboxLine } from '../dump/sandbox-line.ts';
import { exportScript } from '../jsonl/jsonl-script.ts';

/** What a backup holds, whatever its format, as the script that makes a schema of it. */
export interface Script {
  readonly format: 'native' | 'jsonl';
  readonly sizeBytes: number;
  /** Its bytes; of an export without the rows of tables that are not chosen. */
  read(chosen: (table: string) => boolean): AsyncIterable<Uint8Array>;
}

/** Throws `corrupt` where there is none. */
export async function findScript(content: BackupContent): Promise<Script> {
  const dump = await content.entry(DUMP_MEMBER);
  if (dump?.type === 'stream') {
    return { format: 'native', sizeBytes: dump.size, read: () => withoutSandboxLine(content.read(dump)) };
  }
  if ((await content.entry(DOCUMENT_MEMBER)) === undefined) {
    throw new DguardError('corrupt', `the backup has neither ${DUMP_MEMBER} nor ${DOCUMENT_MEMBER}`, {
      operation: 'read backup',
    });
  }
  let sizeBytes = 0;
  for await (const entry of content.entries()) if (entry.type === 'stream') sizeBytes += entry.size;
  return { format: 'jsonl', sizeBytes, read: (chosen) => exportScript(content, chosen) };
}
