import { isWord, type Token } from './tokens.ts';

/** What a routine's header says between its parameters and its comment. */
const CHARACTERISTICS =
  'LANGUAGE SQL NOT DETERMINISTIC CONTAINS NO READS MODIFIES DATA SECURITY INVOKER DEFINER'.split(' ');

/**
 * The comment of a routine, package or event as NO_BACKSLASH_ESCAPES has it: both servers write it with backslashes
 * before what they escape, whatever mode the code is of, and under that mode each of them would be one of the comment.
 * `places`: what is significant; `after`: of these, what follows the object's name.
 */
export function plainComment(tokens: Token[], places: readonly number[], after: number, kind: string): void {
  const at = kind === 'event' ? eventComment(tokens, places, after) : routineComment(tokens, places, after);
  const token = at === undefined ? undefined : tokens[places[at]!];
  if (at === undefined || token?.type !== 'string') return;
  const text = token.text.replace(/\\([\s\S])/g, (_, char: string) => ESCAPED[char] ?? char);
  tokens[places[at]!] = { type: 'string', text };
}

const ESCAPED: Record<string, string> = { '0': '\0', n: '\n', r: '\r' };

/** The last before DO. */
function eventComment(
  tokens: readonly Token[],
  places: readonly number[],
  after: number,
): number | undefined {
  for (let at = after; at < places.length && !isWord(tokens[places[at]!], 'DO'); at++)
    if (isWord(tokens[places[at]!], 'COMMENT')) return at + 1;
  return undefined;
}

/** After the parameters, what is returned, which ends with its line, and the other characteristics; none is the body's. */
function routineComment(
  tokens: readonly Token[],
  places: readonly number[],
  after: number,
): number | undefined {
  let at = after;
  const text = () => tokens[places[at]!]?.text;
  if (text() === '(') {
    for (let depth = 0; at < places.length; at++) {
      depth += text() === '(' ? 1 : text() === ')' ? -1 : 0;
      if (depth === 0) break;
    }
    at++;
  }
  if (isWord(tokens[places[at]!], 'RETURNS')) {
    while (at + 1 < places.length && !isNewLine(tokens, places[at]!, places[at + 1]!)) at++;
    at++;
  }
  const isCharacteristic = () => CHARACTERISTICS.some((word) => isWord(tokens[places[at]!], word));
  while (at < places.length && isCharacteristic()) at++;
  return isWord(tokens[places[at]!], 'COMMENT') ? at + 1 : undefined;
}

function isNewLine(tokens: readonly Token[], from: number, to: number): boolean {
  return tokens.slice(from + 1, to).some(({ type, text }) => type === 'space' && text.includes('\n'));
}
