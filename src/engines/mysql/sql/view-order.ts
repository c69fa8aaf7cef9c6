import { isWord, nameOf, significant, type Token, tokenize } from './tokens.ts';

/**
 * The names by which a view may read from others of its schema, as `SHOW CREATE VIEW` writes them: `name`, or
 * `schema`.`name`; columns stand behind a table or an alias there. An alias in ORDER BY may be among them.
 */
export function namesRead(sql: string, schema: string): ReadonlySet<string> {
  const tokens = tokenize(sql);
  const words = significant(tokens).map((at) => tokens[at]!);
  const view = words.findIndex((word) => isWord(word, 'VIEW'));
  const begin = words.findIndex((word, at) => at > view && isWord(word, 'AS'));
  const read = words.filter((word, at) => {
    if (at <= begin || word.type !== 'name') return false;
    const [before, last, next] = [words[at - 2], words[at - 1], words[at + 1]];
    // The table or schema of what follows, or a function.
    if (next?.text === '.' || next?.text === '(') return false;
    if (last?.text === '.') return before?.type === 'name' && nameOf(before) === schema;
    return at === begin + 1 || !isBeforeAlias(last);
  });
  return new Set(read.map(nameOf));
}

function isBeforeAlias(token: Token | undefined): boolean {
  return isWord(token, 'AS') || token?.type === 'name' || token?.text === ')';
}

/** Views, each after those that it reads from; `isCyclic`: some are not, as their names seem to go round. */
export function inOrder<View extends { readonly name: string; readonly names: ReadonlySet<string> }>(
  views: readonly View[],
): { readonly ordered: readonly View[]; readonly isCyclic: boolean } {
  const known = new Map(views.map((view) => [view.name, view]));
  const ordered = new Set<View>();
  const entered = new Set<View>();
  let isCyclic = false;
  const enter = (view: View) => {
    if (entered.has(view)) {
      isCyclic ||= !ordered.has(view);
      return;
    }
    entered.add(view);
    for (const name of view.names) {
      const other = known.get(name);
      if (other !== undefined && other !== view) enter(other);
    }
    ordered.add(view);
  };
  for (const view of views) enter(view);
  return { ordered: [...ordered], isCyclic };
}
