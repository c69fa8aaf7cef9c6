import { DguardError } from '../../../errors.ts';
import type { BackupContent } from '../../types.ts';
import { type ArchiveHead, chosenContents, createHeadReader } from './archive-toc.ts';
import type { StreamEntry } from './content.ts';

export interface ArchiveChoice {
  /** Numbers of the entries that are wanted. */
  readonly wanted: ReadonlySet<number>;
  /** Where large data lie: what nobody wants of them is not even read. */
  readonly known: readonly { readonly entry: number; readonly start: number; readonly end: number }[];
}

/**
 * A custom archive that has some of its entries alone: what `--use-list` makes of it, for a pg_restore that runs
 * where no file of ours is. Data without an entry are passed over by pg_restore (`_PrintTocData` in
 * pg_backup_custom.c). Throws `unsupported` for an archive that is not understood, and what the content throws.
 */
export async function* chosenArchive(
  content: BackupContent,
  archive: StreamEntry,
  { wanted, known }: ArchiveChoice,
): AsyncGenerator<Uint8Array> {
  const unwanted = known.filter(({ entry }) => !wanted.has(entry)).sort((a, b) => a.start - b.start);
  const parts = await content.parts(
    archive,
    unwanted.flatMap(({ start, end }) => [start, end]),
  );
  const readHead = createHeadReader();
  let head: ArchiveHead | undefined;
  for (let part = 0; part < parts.length; part += 2) {
    for await (const chunk of content.read(parts[part]!)) {
      if (head !== undefined) {
        yield chunk;
        continue;
      }
      head = understood(readHead(chunk));
      if (head === undefined) continue;
      yield* beginning(head);
      if (!head.contents.entries.some(({ id, data }) => wanted.has(id) && data !== 'none')) return;
    }
  }
  if (head !== undefined) return;
  head = understood(readHead(undefined));
  if (head !== undefined) yield* beginning(head);

  function* beginning({ bytes, contents }: ArchiveHead): Generator<Uint8Array> {
    yield chosenContents(bytes, contents, wanted);
    if (bytes.length > contents.end) yield bytes.subarray(contents.end);
  }
}

function understood(head: ArchiveHead | 'unknown' | undefined): ArchiveHead | undefined {
  if (head === 'unknown') throw notUnderstood();
  return head;
}

function notUnderstood(): DguardError {
  return new DguardError('unsupported', 'the table of contents of this dump is none that dguard can read', {
    operation: 'restore',
    hint: 'restore the whole backup to another database, or use a datasource without client_command and run_as',
  });
}
