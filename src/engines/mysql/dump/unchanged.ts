import { listTables, type TableInfo } from '../server/catalog.ts';
import { type CodeName, listCode } from '../server/code.ts';
import { serverError } from '../server/failures.ts';
import { type Definitions, hashDefinitions, readDefinitions } from '../server/schema-hash.ts';
import type { Moment } from './moment.ts';
import { changed } from './watch-definitions.ts';

/**
 * Whether definitions stay as they are while they are dumped: read once before the dump tool is, and once at the end.
 * A table whose definition changed under the dump fails it: not every server notices that itself. So does code that
 * was replaced: the tool may have come by when it was not there, or before what it takes from. What was only added or
 * dropped may be in the dump or not; a trigger beside others of its table is, and may write to a table that is not.
 */
export async function watchUnchanged({ side, schema, tables, subject }: Moment): Promise<{
  /** The code that there was. */
  readonly code: readonly CodeName[];
  /** The schema's hash; undefined where something was added or dropped. Throws `source_failed`. */
  check(): Promise<string | undefined>;
}> {
  const code = await listCode(side, schema);
  const before = await readDefinitions(side, schema, tables);
  const check = async () => {
    const after = await readDefinitions(side, schema, tables);
    const now = { code: await listCode(side, schema), tables: await listTables(side, schema) };
    const altered = [...before].filter(([key, text]) => key.startsWith('table ') && after.get(key) !== text);
    if (altered.length > 0)
      throw changed(
        'tables were altered',
        altered.map(([key]) => key.slice('table '.length)),
        subject,
      );
    const replaced = [
      ...replacedCode(code, now.code),
      ...replacedViews(before, after),
      ...noViews(tables, now.tables),
    ];
    if (replaced.length > 0) throw changed('views or code were replaced', new Set(replaced), subject);
    const beside = triggersBeside(code, now.code);
    if (beside.length > 0) throw changed('triggers were made', beside, subject);
    const hash = hashDefinitions(before);
    return hashDefinitions(after) === hash && now.tables.length === tables.length ? hash : undefined;
  };
  return {
    code,
    check: () =>
      check().catch((error: unknown) => {
        throw serverError(error, 'source_failed', 'read definitions', subject);
      }),
  };
}

function replacedCode(before: readonly CodeName[], after: readonly CodeName[]): string[] {
  const made = new Map(after.map((one) => [`${one.kind} ${one.name}`, one.made]));
  return before
    .filter((one) => {
      const now = made.get(`${one.kind} ${one.name}`);
      return now !== undefined && now !== one.made;
    })
    .map(({ name }) => name);
}

/** Triggers that were made on tables that had some already: of these the tool is asked for all. */
function triggersBeside(before: readonly CodeName[], after: readonly CodeName[]): string[] {
  const triggers = before.filter(({ kind }) => kind === 'trigger');
  const names = new Set(triggers.map(({ name }) => name));
  const owners = new Set(triggers.map(({ table }) => table));
  return after
    .filter(({ kind, name, table }) => kind === 'trigger' && owners.has(table) && !names.has(name))
    .map(({ name }) => name);
}

function replacedViews(before: Definitions, after: Definitions): string[] {
  return [...before]
    .filter(([key, text]) => key.startsWith('view ') && (after.get(key) ?? text) !== text)
    .map(([key]) => key.slice('view '.length));
}

/** Views that are tables now, of which the dump has no rows. */
function noViews(before: readonly TableInfo[], after: readonly TableInfo[]): string[] {
  const kinds = new Map(after.map(({ name, kind }) => [name, kind]));
  return before
    .filter(({ name, kind }) => kind === 'view' && (kinds.get(name) ?? kind) !== kind)
    .map(({ name }) => name);
}
