import type { ContentEntry } from '../archive/entry.ts';
import { toBytes } from '../archive/paths.ts';
import { DguardError } from '../errors.ts';
import type { BackupContent } from './types.ts';

/**
 * The whole text of a member of a backup: a document or definitions, not rows. Errors: those of reading it; `corrupt`
 * where it has more than `maxBytes`.
 */
export async function memberText(
  content: BackupContent,
  entry: ContentEntry,
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  // A copy: a chunk's memory may be used again once the next one is asked for.
  for await (const chunk of content.read(entry)) {
    sizeBytes += chunk.length;
    if (sizeBytes > maxBytes) {
      throw new DguardError('corrupt', 'it is too large', {
        operation: 'read backup',
        subject: toBytes(entry.path).toString('utf8'),
      });
    }
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks).toString('utf8');
}
