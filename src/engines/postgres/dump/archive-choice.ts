import { DguardError } from '../../../errors.ts';
import type { BackupContent } from '../../types.ts';
import type { StreamEntry } from '../restore/content.ts';
import { MAX_CONTENTS_BYTES } from './archive-offsets.ts';
import { type ArchiveContents, chosenContents, readContents } from './archive-toc.ts';

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
  let head: Buffer | undefined = Buffer.alloc(0);
  let tryAt = 0;
  for (let part = 0; part < parts.length; part += 2) {
    for await (const chunk of content.read(parts[part]!)) {
      if (head === undefined) {
        yield chunk;
        continue;
      }
      head = Buffer.concat([head, chunk]);
      if (head.length < tryAt) continue;
      const contents: ArchiveContents | string = readContents(head);
      if (contents === 'more' && head.length < MAX_CONTENTS_BYTES) {
        tryAt = head.length * 2;
        continue;
      }
      if (typeof contents === 'string') throw notUnderstood();
      yield* beginning(head, contents);
      if (!contents.entries.some(({ id, data }) => wanted.has(id) && data !== 'none')) return;
      head = undefined;
    }
  }
  if (head === undefined) return;
  const contents = readContents(head);
  if (typeof contents === 'string') throw notUnderstood();
  yield* beginning(head, contents);

  function* beginning(bytes: Buffer, contents: ArchiveContents): Generator<Uint8Array> {
    yield chosenContents(bytes, contents, wanted);
    if (bytes.length > contents.end) yield bytes.subarray(contents.end);
  }
}

function notUnderstood(): DguardError {
  return new DguardError('unsupported', 'the table of contents of this dump is none that dguard can read', {
    operation: 'restore',
    hint: 'restore the whole backup to another database, or use a datasource without client_command and run_as',
  });
}
