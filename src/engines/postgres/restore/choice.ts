import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readChild } from '../../../child/read.ts';
import { DguardError } from '../../../errors.ts';
import type { BackupContent, TableFact } from '../../types.ts';
import { chosenArchive } from '../dump/archive-choice.ts';
import { encodingOf, listContents, type ReadRequest } from '../dump/archive-file.ts';
import type { Archive } from '../dump/content.ts';
import type { SourceFacts } from '../dump/source-facts.ts';
import {
  type ForeignKey,
  isDataOf,
  isEventTrigger,
  isForeignKey,
  isLargeObject,
  isTableData,
  parseForeignKeys,
  parseToc,
  type TocEntry,
} from '../dump/toc.ts';
import { tableMatcher } from '../select.ts';
import { textOf } from '../server/encodings.ts';
import type { Server } from '../server/server.ts';
import { listedName, tableOf } from '../server/table-name.ts';
import type { Tools } from '../server/tools.ts';

export interface Choice {
  /** pg_restore's `--use-list`; undefined: everything. */
  readonly list?: string;
  /** The list of event triggers, which are created after all else, or not at all; undefined: there are none. */
  readonly eventTriggers?: string;
  /** The tables whose rows come back. */
  readonly tables: readonly TableFact[];
  /** Foreign keys left out, as the table that they point to has no rows. */
  readonly foreignKeys: readonly ForeignKey[];
}

/**
 * Which entries of an archive are restored. Definitions are restored of all; rows of the chosen tables;
 * foreign keys but those from a table with rows to one that is left without.
 */
export async function chooseEntries(
  content: BackupContent,
  archive: Archive,
  recorded: readonly TableFact[],
  only: readonly string[],
  facts: SourceFacts,
  context: { readonly server: Server; readonly tools: Tools; readonly read: ReadRequest },
): Promise<Choice> {
  const { without_rows: withoutRows, event_triggers: events, parents } = facts;
  if (only.length === 0 && withoutRows.length + events.length === 0)
    return { tables: recorded, foreignKeys: [] };
  const { server, tools, read } = context;
  const chosen = only.length === 0 ? recorded : await chosenTables(recorded, only, parents);
  if (chosen.length === 0) {
    const hint = `tables in it: ${recorded
      .slice(0, 20)
      .map(({ name }) => name)
      .join(', ')}`;
    throw new DguardError('nothing_there', `no table of the backup matches ${only.join(', ')}`, {
      operation: 'restore',
      hint,
    });
  }
  const toc = parseToc(await listContents(content, archive, tools, { ...read, env: server.env }));
  const names = new Set(chosen.map(({ name }) => name));
  const listed = new Set(chosen.map(({ name }) => listedName(name)));
  const empty = new Set(withoutRows);
  const hasRows = (name: string) => (only.length === 0 ? !empty.has(name) : names.has(name));
  const keys = toc.filter(isForeignKey);
  const definitions = keys.length === 0 ? '' : await printEntries(content, archive, keys, context);
  const broken = parseForeignKeys(definitions).filter(
    ({ table, references }) => hasRows(table) && !hasRows(references),
  );
  const left = new Set(broken.map(({ entry }) => entry));
  const kept = toc.filter((entry) => {
    if (left.has(entry.id) || broken.some(({ comment }) => entry.text.startsWith(comment))) return false;
    if (only.length === 0) return true;
    return isTableData(entry) ? isDataOf(entry, listed) : !isLargeObject(entry);
  });
  const late = kept.filter(isEventTrigger);
  const all = only.length === 0 && left.size === 0;
  if (all && late.length === 0) return { tables: chosen, foreignKeys: [] };
  return {
    list: listOf(kept.filter((entry) => !isEventTrigger(entry))),
    ...(late.length === 0 ? {} : { eventTriggers: listOf(late) }),
    tables: chosen,
    foreignKeys: broken,
  };
}

function listOf(entries: readonly TocEntry[]): string {
  return `${entries.map(({ line }) => line).join('\n')}\n`;
}

/** Tables that a pattern names, or names what they are partitions or children of. */
async function chosenTables(
  recorded: readonly TableFact[],
  only: readonly string[],
  parents: SourceFacts['parents'],
): Promise<readonly TableFact[]> {
  const matches = await tableMatcher(only);
  const named = (name: string, seen: ReadonlySet<string> = new Set()): boolean =>
    matches({ name, table: tableOf(name) }) ||
    (Object.hasOwn(parents, name) ? parents[name]! : []).some(
      (parent) => !seen.has(parent) && named(parent, new Set([...seen, name])),
    );
  return recorded.filter(({ name }) => named(name));
}

/** The SQL of some entries. */
async function printEntries(
  content: BackupContent,
  archive: Archive,
  entries: readonly TocEntry[],
  { server, tools, read }: { readonly server: Server; readonly tools: Tools; readonly read: ReadRequest },
): Promise<string> {
  const argv = [...tools.argv('pg_restore'), '--verbose', '--file=-'];
  const options = {
    env: server.env,
    signal: read.signal,
    maxBytes: 64 * 1024 * 1024,
    decode: (bytes: Buffer) => textOf(bytes, encodingOf(content)),
    failure: { code: 'corrupt', operation: 'read dump' },
  } as const;
  if (archive.kind === 'custom' && server.connection.viaTools) {
    const wanted = new Set(entries.map(({ id }) => Number(id)));
    const stdin = chosenArchive(content, archive.entry, { wanted, known: [] });
    return await readChild(argv, { ...options, stdin });
  }
  const list = join(read.tempDir, 'foreign-keys.list');
  await writeFile(list, `${entries.map(({ line }) => line).join('\n')}\n`, { mode: 0o600 });
  argv.push(`--use-list=${list}`);
  if (archive.kind === 'directory') return await readChild([...argv, read.tempDir], options);
  return await readChild(argv, { ...options, stdin: content.read(archive.entry) });
}
