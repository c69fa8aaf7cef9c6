import { plainComment } from './code-comment.ts';
import { moveReferences } from './references.ts';
import { isWord, joined, nameOf, significant, type Token, tokenize } from './tokens.ts';

export type CodeKind = 'view' | 'trigger' | 'function' | 'procedure' | 'package' | 'package body' | 'event';

export interface RewriteOptions {
  /** `keep`; without its DEFINER, so that whoever runs the statement becomes it; or another account, as SQL. */
  readonly definer: 'keep' | 'strip' | { readonly as: string };
  /** Where the object is to be; a qualified name of its own says so too. */
  readonly schema?: { readonly from: string; readonly to: string };
  /** What an event's status becomes. */
  readonly eventStatus?: string;
  /** Of a trigger: what the table is called that the statement names. */
  readonly tableName?: (written: string) => string;
  /** The sql_mode that the statement is to be carried out under. */
  readonly mode?: string;
}

export interface Rewritten {
  readonly sql: string;
  readonly name: string;
  /** Of a trigger: its table. */
  readonly table?: string;
  /** Of an event: what its status was. */
  readonly eventStatus?: string;
  readonly definer?: string;
}

const KINDS: Record<string, CodeKind> = {
  VIEW: 'view',
  TRIGGER: 'trigger',
  FUNCTION: 'function',
  PROCEDURE: 'procedure',
  PACKAGE: 'package',
  EVENT: 'event',
};

/** What a CREATE statement creates: a kind of code, or the word that says it (`TABLE`). */
export function createdKind(tokens: readonly Token[]): CodeKind | string | undefined {
  const at = kindPosition(tokens);
  if (at === undefined) return undefined;
  const word = tokens[at]!.text.toUpperCase();
  return KINDS[word] ?? word;
}

/**
 * A CREATE statement of a view, trigger, routine, package or event, with another definer, place or status.
 * By its tokens: what stands in strings, comments and the body is none of its header.
 */
export function rewriteCode(sql: string, options: RewriteOptions): Rewritten {
  const tokens = tokenize(sql);
  const kindAt = kindPosition(tokens)!;
  const kind = createdKind(tokens) as CodeKind;
  const definer = readDefiner(tokens, kindAt);
  if (definer !== undefined && options.definer !== 'keep') {
    blank(tokens, definer.from, definer.to);
    if (options.definer !== 'strip') {
      tokens[definer.from] = { type: 'word', text: `DEFINER=${options.definer.as} ` };
    }
  }

  const places = significant(tokens);
  // MySQL keeps the semicolon of a statement that was sent with others, and does not take it back.
  const last = places.at(-1)!;
  if (tokens[last]!.text === ';') tokens[last] = { type: 'space', text: '' };
  let at = places.indexOf(kindAt) + 1;
  // PACKAGE BODY; IF NOT EXISTS
  if (kind === 'package' && isWord(tokens[places[at]!], 'BODY')) at++;
  if (isWord(tokens[places[at]!], 'IF')) at += isWord(tokens[places[at + 1]!], 'NOT') ? 3 : 2;
  if (/\bNO_BACKSLASH_ESCAPES\b/i.test(options.mode ?? ''))
    plainComment(tokens, places, at + (tokens[places[at + 1]!]?.text === '.' ? 3 : 1), kind);
  const name = dropQualifier(tokens, places, at);
  let table: string | undefined;
  let eventStatus: string | undefined;
  if (kind === 'trigger') {
    const on = places.findIndex((place, index) => index > at && isWord(tokens[place], 'ON'));
    const qualified = tokens[places[on + 2]!]?.text === '.';
    table = dropQualifier(tokens, places, on + 1);
    const called = options.tableName?.(table) ?? table;
    if (called !== table)
      tokens[places[on + (qualified ? 3 : 1)]!] = {
        type: 'name',
        text: `\`${called.replaceAll('`', '``')}\``,
      };
    table = called;
  } else if (kind === 'event') {
    eventStatus = changeStatus(tokens, places, at, options.eventStatus);
  } else if (kind === 'view' && options.schema !== undefined) {
    moveReferences(tokens, options.schema.from, options.schema.to);
  }
  return {
    sql: joined(tokens),
    name,
    ...(table === undefined ? {} : { table }),
    ...(eventStatus === undefined ? {} : { eventStatus }),
    ...(definer === undefined ? {} : { definer: definer.text }),
  };
}

/** Where the word is that says what is created: the first that is none of a header's options. */
function kindPosition(tokens: readonly Token[]): number | undefined {
  const places = significant(tokens);
  if (!isWord(tokens[places[0]!], 'CREATE')) return undefined;
  for (let at = 1; at < places.length; at++) {
    const token = tokens[places[at]!]!;
    const next = tokens[places[at + 1]!];
    if (token.type !== 'word') continue;
    const word = token.text.toUpperCase();
    // OR REPLACE, TEMPORARY, AGGREGATE, SQL SECURITY x; ALGORITHM = x; DEFINER = user@host
    if (['OR', 'REPLACE', 'TEMPORARY', 'AGGREGATE', 'UNIQUE', 'FULLTEXT', 'SPATIAL'].includes(word)) continue;
    if (word === 'SQL') at += 2;
    else if (word === 'ALGORITHM') at += 2;
    else if (word === 'DEFINER' && next?.text === '=') at = definerEnd(tokens, places, at) - 1;
    else return places[at];
  }
  return undefined;
}

/** The position (among what is significant) after `DEFINER = user[@host]`, `CURRENT_USER[()]`, a role. */
function definerEnd(tokens: readonly Token[], places: readonly number[], at: number): number {
  let end = at + 3;
  if (tokens[places[end]!]?.text === '(') end += 2;
  if (tokens[places[end]!]?.text === '@') end += 2;
  return end;
}

function readDefiner(
  tokens: readonly Token[],
  before: number,
): { from: number; to: number; text: string } | undefined {
  const places = significant(tokens);
  for (let at = 0; at < places.length && places[at]! < before; at++) {
    if (!isWord(tokens[places[at]!], 'DEFINER') || tokens[places[at + 1]!]?.text !== '=') continue;
    const last = places[definerEnd(tokens, places, at) - 1]!;
    const text = joined(tokens.slice(places[at + 2]!, last + 1).filter(({ type }) => type !== 'space'));
    return { from: places[at]!, to: last, text };
  }
  return undefined;
}

/** Takes words away, and leaves the marks of conditional comments around them. */
function blank(tokens: Token[], from: number, to: number): void {
  for (let at = from; at <= to; at++) {
    if (tokens[at]!.type !== 'mark') tokens[at] = { type: 'space', text: at === from ? ' ' : '' };
  }
}

/** `schema.name` becomes `name`: the default schema of the session says where it is. Returns the name. */
function dropQualifier(tokens: Token[], places: readonly number[], at: number): string {
  const [first, dot, second] = [places[at]!, places[at + 1]!, places[at + 2]!];
  if (tokens[dot]?.text !== '.') return nameOf(tokens[first]!);
  for (const place of [first, dot]) tokens[place] = { type: 'space', text: '' };
  return nameOf(tokens[second]!);
}

/** ENABLE | DISABLE | DISABLE ON SLAVE|REPLICA, before COMMENT and DO. */
function changeStatus(
  tokens: Token[],
  places: readonly number[],
  from: number,
  status: string | undefined,
): string | undefined {
  for (let at = from; at < places.length; at++) {
    const place = places[at]!;
    if (isWord(tokens[place], 'DO')) return undefined;
    if (!isWord(tokens[place], 'ENABLE') && !isWord(tokens[place], 'DISABLE')) continue;
    const last = isWord(tokens[places[at + 1]!], 'ON') ? places[at + 2]! : place;
    const was = joined(tokens.slice(place, last + 1))
      .replace(/\s+/g, ' ')
      .toUpperCase();
    if (status !== undefined) {
      blank(tokens, place, last);
      tokens[place] = { type: 'word', text: status };
    }
    return was;
  }
  return undefined;
}
