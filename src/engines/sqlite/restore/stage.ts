import { open } from 'node:fs/promises';
import type { ContentEntry } from '../../../archive/entry.ts';
import { DguardError, throwIfAborted } from '../../../errors.ts';
import { DOCUMENT_MEMBER } from '../../jsonl/document.ts';
import type { BackupContent, TableFact, Warning } from '../../types.ts';
import { listTables } from '../database/catalog.ts';
import { checkDatabase, compareTables, examine, requireSound } from '../database/check.ts';
import { openDatabase, sqliteError } from '../database/driver.ts';
import { dropTables } from '../database/filter.ts';
import { loadExport } from '../jsonl/load.ts';
import { readSchemaDocument } from '../jsonl/schema-document.ts';
import { selectTables } from '../select.ts';

/** The member of a native backup: the database file itself. */
export const DATABASE_MEMBER = 'database.db';

/** What a backup holds, told by its members. */
export async function contentFormat(content: BackupContent): Promise<'native' | 'jsonl'> {
  if ((await content.entry(DATABASE_MEMBER)) !== undefined) return 'native';
  if ((await content.entry(DOCUMENT_MEMBER)) !== undefined) return 'jsonl';
  throw new DguardError('corrupt', `the backup has neither ${DATABASE_MEMBER} nor ${DOCUMENT_MEMBER}`, {
    operation: 'read backup',
  });
}

/** How many bytes a restored database will take, as far as the backup says. */
export async function contentBytes(content: BackupContent): Promise<number> {
  let bytes = 0;
  for await (const entry of content.entries()) if (entry.type === 'stream') bytes += entry.size;
  return bytes;
}

export interface StageRequest {
  readonly signal: AbortSignal;
  readonly onBytes: (count: number) => void;
}

/** Writes the whole database of a backup to the new file `path`, mode 0600, durable on return. */
export async function stageDatabase(
  content: BackupContent,
  path: string,
  request: StageRequest,
): Promise<void> {
  if ((await contentFormat(content)) === 'native') {
    await writeEntry(content, (await content.entry(DATABASE_MEMBER))!, path, request);
    return;
  }
  const schema = await readSchemaDocument(content);
  await (await open(path, 'wx', 0o600)).close();
  await loadExport(content, schema, path, request.signal, request.onBytes);
  await syncFile(path);
}

async function writeEntry(
  content: BackupContent,
  entry: ContentEntry,
  path: string,
  request: StageRequest,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    let written = 0;
    for await (const chunk of content.read(entry)) {
      throwIfAborted(request.signal);
      await file.writeFile(chunk);
      written += chunk.length;
      request.onBytes(chunk.length);
    }
    if (entry.type === 'stream' && written !== entry.size) {
      throw new DguardError('corrupt', `${entry.path} has ${written} bytes, ${entry.size} were recorded`, {
        operation: 'read backup',
      });
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes what was written to a file or a folder survive a power cut. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Reduces the staged database to the chosen tables; returns the path of the result (`reducedPath`, or
 * `path` itself when nothing had to go).
 */
export async function keepOnly(
  path: string,
  reducedPath: string,
  only: readonly string[],
  warn: (warning: Warning) => void,
): Promise<{ path: string; kept: readonly string[] }> {
  const database = await openDatabase(path, { readonly: false });
  let selection: ReturnType<typeof selectTables>;
  try {
    selection = selectTables(listTables(database), [{ include: only, exclude: [] }], 'backup', warn);
  } finally {
    database.close();
  }
  const kept = selection.kept.map((table) => table.name);
  if (selection.dropped.length === 0) return { path, kept };
  await dropTables(path, reducedPath, selection.dropped, warn);
  await syncFile(reducedPath);
  return { path: reducedPath, kept };
}

/**
 * Holds a staged database against itself and against what the backup recorded. Throws `corrupt`; returns
 * the tables found in it.
 */
export async function proveStaged(
  path: string,
  recorded: readonly TableFact[],
  schemaSha256: string | undefined,
): Promise<readonly TableFact[]> {
  const hint = 'the target was not touched; restore an older backup, or verify this one';
  const fail = (why: string) =>
    new DguardError('corrupt', why, { operation: 'compare', subject: path, hint });
  // Not readonly: the file may be in WAL mode, and only a writer takes its empty journal away again.
  const database = await openDatabase(path, { readonly: false });
  try {
    requireSound(checkDatabase(database, 'quick_check'), 'corrupt', 'check restored database', path, hint);
    const { facts, tables } = examine(database);
    const differences = compareTables(recorded, tables);
    if (differences.length > 0) throw fail(differences.slice(0, 5).join('; '));
    if (schemaSha256 !== undefined && schemaSha256 !== facts.schema_sha256) {
      throw fail('the schema is not the one that was recorded');
    }
    return tables;
  } catch (error) {
    throw sqliteError(error, 'corrupt', 'check restored database', path);
  } finally {
    database.close();
  }
}
