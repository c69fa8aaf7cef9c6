import type { ReferenceAction } from '../../plain/types.ts';

/** What SHOW CREATE TABLE says of a table, and an export's `schema.json` does not. */
export interface Definition {
  /** Of foreign keys, by name. */
  readonly actions: ReadonlyMap<
    string,
    { readonly onDelete: ReferenceAction; readonly onUpdate: ReferenceAction }
  >;
  /** Keys that are not of whole columns in a tree: prefixes, full text, geometry, expressions. */
  readonly oddKeys: readonly string[];
  readonly checks: readonly string[];
  /** The next number of AUTO_INCREMENT. */
  readonly next?: bigint;
}

const NAME = '`((?:[^`]|``)+)`';
const TABLE = new RegExp(`^CREATE TABLE (?:IF NOT EXISTS )?${NAME} \\($`);
const FOREIGN = new RegExp(`^\\s+CONSTRAINT ${NAME} FOREIGN KEY `);
const KEY = new RegExp(`^\\s+(?:(UNIQUE|FULLTEXT|SPATIAL|VECTOR) )?KEY ${NAME} \\((.*)\\)`);

/** Reads the definitions of a dump: SHOW CREATE TABLE writes a part a line, and nothing but tables has such lines. */
export function readDefinitions(sql: string): ReadonlyMap<string, Definition> {
  const found = new Map<string, Definition>();
  let current: { name: string; lines: string[] } | undefined;
  for (const line of sql.split('\n')) {
    const begun = TABLE.exec(line)?.[1];
    if (begun !== undefined) current = { name: unquoted(begun), lines: [] };
    else if (current !== undefined && line.startsWith(')')) {
      found.set(current.name, definition(current.lines, line));
      current = undefined;
    } else current?.lines.push(line);
  }
  return found;
}

function definition(lines: readonly string[], end: string): Definition {
  const actions: [string, { onDelete: ReferenceAction; onUpdate: ReferenceAction }][] = [];
  const oddKeys: string[] = [];
  const checks: string[] = [];
  for (const line of lines) {
    const foreign = FOREIGN.exec(line)?.[1];
    const key = KEY.exec(line);
    if (foreign !== undefined) {
      const action = (on: string) =>
        (new RegExp(` ON ${on} (CASCADE|SET NULL|SET DEFAULT|RESTRICT|NO ACTION)`).exec(line)?.[1] ??
          'NO ACTION') as ReferenceAction;
      actions.push([unquoted(foreign), { onDelete: action('DELETE'), onUpdate: action('UPDATE') }]);
    } else if (key !== null) {
      const [, kind, name, parts] = key;
      const whole = new RegExp(`^(?:${NAME}(?: (?:ASC|DESC))?(?:,|$))+$`).test(parts!);
      if ((kind !== undefined && kind !== 'UNIQUE') || !whole) oddKeys.push(unquoted(name!));
    } else if (/^\s+CONSTRAINT .* CHECK /.test(line)) checks.push(line.trim());
  }
  const next = /\bAUTO_INCREMENT=(\d+)/.exec(end)?.[1];
  return {
    actions: new Map(actions),
    oddKeys,
    checks,
    ...(next === undefined ? {} : { next: BigInt(next) }),
  };
}

/** Views, triggers, routines and events of a dump, in words. */
export function codeNames(sql: string): string[] {
  return ['VIEW', 'TRIGGER', 'FUNCTION', 'PROCEDURE', 'EVENT'].flatMap((kind) => {
    const pattern = new RegExp(`^(?:/\\*!\\d+ |CREATE ).*\\b${kind} (?:IF NOT EXISTS )?${NAME}`, 'gm');
    const dropped = /^(?:\/\*!\d+ )?DROP /;
    const names = [...sql.matchAll(pattern)]
      .filter(([line]) => !dropped.test(line))
      .map(([, name]) => unquoted(name!));
    return names.length === 0 ? [] : [`${kind.toLowerCase()} ${[...new Set(names)].join(', ')}`];
  });
}

function unquoted(name: string): string {
  return name.replaceAll('``', '`');
}
