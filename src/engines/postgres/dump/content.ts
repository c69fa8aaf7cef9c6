import type { ContentEntry } from '../../../archive/entry.ts';
import { DguardError } from '../../../errors.ts';
import type { BackupContent } from '../../types.ts';
import { DEFINITIONS_MEMBER } from '../jsonl/jsonl-dump.ts';
import { DIRECTORY_PREFIX } from './directory.ts';
import { CUSTOM_MEMBER } from './members.ts';

/** The archive of a backup: one stream, or the files of a folder. */
export type Archive =
  | {
      readonly kind: 'custom';
      readonly entry: StreamEntry;
      /** Of an export, which has its rows elsewhere: of all of it. */
      readonly sizeBytes: number;
      readonly jsonl?: true;
    }
  | { readonly kind: 'directory'; readonly entries: readonly StreamEntry[]; readonly sizeBytes: number };

export type StreamEntry = Extract<ContentEntry, { type: 'stream' }>;

/** Finds what pg_restore reads. Throws `corrupt` where there is nothing of the kind. */
export async function findArchive(content: BackupContent): Promise<Archive> {
  const custom = await content.entry(CUSTOM_MEMBER);
  if (custom?.type === 'stream') return { kind: 'custom', entry: custom, sizeBytes: custom.size };
  const definitions = await content.entry(DEFINITIONS_MEMBER);
  if (definitions?.type === 'stream') {
    let sizeBytes = 0;
    for await (const entry of content.entries()) if (entry.type === 'stream') sizeBytes += entry.size;
    return { kind: 'custom', entry: definitions, sizeBytes, jsonl: true };
  }
  const entries: StreamEntry[] = [];
  for await (const entry of content.entries()) {
    if (entry.type === 'stream' && entry.path.startsWith(DIRECTORY_PREFIX)) entries.push(entry);
  }
  if (entries.some(({ path }) => path === `${DIRECTORY_PREFIX}toc.dat`)) {
    return { kind: 'directory', entries, sizeBytes: entries.reduce((sum, { size }) => sum + size, 0) };
  }
  throw new DguardError(
    'corrupt',
    `the backup has none of ${CUSTOM_MEMBER}, ${DIRECTORY_PREFIX}toc.dat, ${DEFINITIONS_MEMBER}`,
    {
      operation: 'read backup',
    },
  );
}
