/** Words of one SQL statement, with all that lies between them, so that joined they are the statement again. */
export interface Token {
  /**
   * `space`: also comments. `name`: a quoted identifier. `mark`: the beginning or end of a comment that is
   * carried out (`/*!50003`). `other`: a sign, or a number.
   */
  readonly type: 'space' | 'word' | 'name' | 'string' | 'mark' | 'other';
  readonly text: string;
}

const PATTERN =
  /(?<space>\s+|--(?=[\s]|$)[^\n]*|#[^\n]*|\/\*(?!M?!)[\s\S]*?\*\/)|(?<mark>\/\*M?!\d*|\*\/)|(?<name>`(?:[^`]|``)*`)|(?<string>'(?:[^'\\]|\\[\s\S]|'')*'|"(?:[^"\\]|\\[\s\S]|"")*")|(?<word>[A-Za-z_$\u0080-\uffff][\w$\u0080-\uffff]*)|(?<other>[\s\S])/uy;

/** https://dev.mysql.com/doc/refman/8.4/en/language-structure.html, of a session without ANSI_QUOTES. */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = [];
  PATTERN.lastIndex = 0;
  for (let match = PATTERN.exec(sql); match !== null; match = PATTERN.exec(sql)) {
    const groups = match.groups as Record<Token['type'], string | undefined>;
    const type = TYPES.find((name) => groups[name] !== undefined)!;
    tokens.push({ type, text: match[0] });
    if (PATTERN.lastIndex === sql.length) break;
  }
  return tokens;
}

const TYPES = ['space', 'mark', 'name', 'string', 'word', 'other'] as const;

export function joined(tokens: readonly Token[]): string {
  return tokens.map((token) => token.text).join('');
}

/** Positions of what means something, in order. */
export function significant(tokens: readonly Token[]): number[] {
  return tokens.flatMap((token, at) => (token.type === 'space' || token.type === 'mark' ? [] : [at]));
}

/** The name that a word or a quoted identifier stands for. */
export function nameOf(token: Token): string {
  if (token.type === 'name') return token.text.slice(1, -1).replaceAll('``', '`');
  // A name of a session with ANSI_QUOTES.
  if (token.text.startsWith('"')) return token.text.slice(1, -1).replaceAll('""', '"');
  return token.text;
}

export function isWord(token: Token | undefined, word: string): boolean {
  return token?.type === 'word' && token.text.toUpperCase() === word;
}
