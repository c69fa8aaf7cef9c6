import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { errorText, throwIfAborted } from '../../../errors.ts';
import { makeFolders } from '../../../folders.ts';
import { recordedTables } from '../../recorded-tables.ts';
import type { BackupContent, InspectRequest, TableFact } from '../../types.ts';
import { checkDatabase, compareTables, examine } from '../database/check.ts';
import { closeQuietly, isDamage, openDatabase } from '../database/driver.ts';
import { requireSpace } from '../database/locate.ts';
import { readTable } from '../jsonl/read-table.ts';
import { readSchemaDocument } from '../jsonl/schema-document.ts';
import { contentBytes, contentFormat, stageDatabase } from './stage.ts';

/** What is wrong with a backup's content, one line per problem. */
export async function inspectBackup(content: BackupContent, request: InspectRequest): Promise<string[]> {
  let done = 0;
  const onBytes = (count: number) => {
    done += count;
    request.onProgress(done);
  };
  const inspect = (await contentFormat(content)) === 'native' ? inspectFile : inspectExport;
  return await inspect(content, request, onBytes);
}

async function inspectFile(
  content: BackupContent,
  request: InspectRequest,
  onBytes: (count: number) => void,
): Promise<string[]> {
  makeFolders(request.tempDir);
  const folder = await mkdtemp(join(request.tempDir, 'sqlite-'));
  try {
    await requireSpace(folder, await contentBytes(content), 'target_failed', 'set temp_dir to a larger disk');
    const path = join(folder, 'database.db');
    await stageDatabase(content, path, { signal: request.signal, onBytes });
    throwIfAborted(request.signal);
    return await findProblems(path, await recordedTables(content), content.facts.schema_sha256);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function findProblems(
  path: string,
  recorded: readonly TableFact[],
  schemaSha256: string | undefined,
): Promise<string[]> {
  const database = await openDatabase(path, { readonly: false });
  try {
    const { damage } = checkDatabase(database, 'integrity_check');
    if (damage.length > 0) return damage.map((line) => `integrity_check: ${line}`);
    const { facts, tables } = examine(database);
    const problems = compareTables(recorded, tables);
    if (schemaSha256 !== undefined && schemaSha256 !== facts.schema_sha256) {
      problems.push('the schema is not the one that was recorded');
    }
    return problems;
  } catch (error) {
    if (isDamage(error)) return [`integrity_check: ${errorText(error)}`];
    throw error;
  } finally {
    closeQuietly(database);
  }
}

async function inspectExport(
  content: BackupContent,
  request: InspectRequest,
  onBytes: (count: number) => void,
): Promise<string[]> {
  const problems: string[] = [];
  try {
    const schema = await readSchemaDocument(content);
    const tables = schema.tables.filter((table) => table.kind === 'table');
    problems.push(...compareTables(await recordedTables(content), [...tables, ...virtualTables(schema)]));
    for (const table of schema.tables) {
      throwIfAborted(request.signal);
      try {
        let rows = 0;
        for await (const _ of readTable(content, table, onBytes)) {
          if (++rows % 10_000 === 0) throwIfAborted(request.signal);
        }
      } catch (error) {
        throwIfAborted(request.signal);
        problems.push(errorText(error));
      }
    }
  } catch (error) {
    throwIfAborted(request.signal);
    problems.push(errorText(error));
  }
  return problems;
}

/** Virtual tables have no rows of their own in an export: their shadow tables have. */
function virtualTables(schema: Awaited<ReturnType<typeof readSchemaDocument>>): TableFact[] {
  return schema.objects
    .filter((object) => object.type === 'table' && /^\s*CREATE\s+VIRTUAL\s/i.test(object.sql))
    .map((object) => ({ name: object.name }));
}
