import type { BackupContent, ContentEntry } from './types.ts';

/** The whole text of a member of a backup: a document or definitions, not rows. Errors: those of reading it. */
export async function memberText(content: BackupContent, entry: ContentEntry): Promise<string> {
  const chunks: Buffer[] = [];
  // A copy: a chunk's memory may be used again once the next one is asked for.
  for await (const chunk of content.read(entry)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}
