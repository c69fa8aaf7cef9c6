import { isWord, nameOf, significant, tokenize } from './tokens.ts';

/** What a view may read from, by name, as `SHOW CREATE VIEW` writes it: `name`, or `schema`.`name` in its own schema. */
export function namesRead(sql: string, schema: string): ReadonlySet<string> {
  const tokens = tokenize(sql);
  const words = significant(tokens).map((at) => tokens[at]!);
  const read = words.filter((word, at) => {
    const [before, last] = [words[at - 2], words[at - 1]];
    if (word.type !== 'name' || isWord(last, 'AS')) return false;
    // Behind a dot: a column, or a table of another schema.
    return last?.text !== '.' || (before?.type === 'name' && nameOf(before) === schema);
  });
  return new Set(read.map(nameOf));
}

/** Views, each after those that it reads from. */
export function inOrder<View extends { readonly name: string; readonly names: ReadonlySet<string> }>(
  views: readonly View[],
): View[] {
  const known = new Map(views.map((view) => [view.name, view]));
  const ordered = new Set<View>();
  const entered = new Set<View>();
  const enter = (view: View) => {
    if (entered.has(view)) return;
    entered.add(view);
    for (const name of view.names) {
      const other = known.get(name);
      if (other !== undefined) enter(other);
    }
    ordered.add(view);
  };
  for (const view of views) enter(view);
  return [...ordered];
}
