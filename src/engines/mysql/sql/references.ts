import { isWord, nameOf, significant, type Token } from './tokens.ts';

const BEFORE_TABLES = ['FROM', 'JOIN', 'STRAIGHT_JOIN', 'REFERENCES', 'FOR', 'NEXTVAL', 'LASTVAL', 'SETVAL'];

/**
 * References to a schema by its name, as in `old`.`table`, become another's. A view may have a table of that name
 * (`old`.`column`): then only what stands where a table, or a function, does.
 */
export function moveReferences(tokens: Token[], from: string, to: string): void {
  const places = significant(tokens);
  const at = (place: number) => tokens[places[place]!];
  const isName = (place: number, name?: string) =>
    at(place)?.type === 'name' && (name === undefined || nameOf(at(place)!) === name);
  const isDot = (place: number) => at(place)?.text === '.';
  const table = places.some((_, place) => isName(place, from) && !isDot(place + 1));
  const isReference = (place: number) => {
    if (!table || isDot(place + 3) || at(place + 3)?.text === '(') return true;
    let before = place - 1;
    while (at(before)?.text === '(') before--;
    return BEFORE_TABLES.some((word) => isWord(at(before), word));
  };
  for (let place = 0; place + 2 < places.length; place++) {
    if (!isName(place, from) || !isDot(place + 1) || !isName(place + 2) || isDot(place - 1)) continue;
    if (isReference(place))
      tokens[places[place]!] = { type: 'name', text: `\`${to.replaceAll('`', '``')}\`` };
  }
}
