import { DguardError } from '../../../errors.ts';

/** What becomes of a statement; `aside`: it is carried out by somebody else than the reader of the script. */
export type Verdict = 'pass' | 'skip' | 'aside';

export interface StatementHandler {
  /**
   * A whole statement without its delimiter, comments before it included, as a byte string: returns what is
   * to be sent instead, or undefined to leave it out.
   */
  statement(text: string): string | undefined;
  /** The beginning of an INSERT, up to its first parenthesis; the rest is never held. */
  insert(head: string): Verdict;
  /** What is to be sent after all else, without delimiters. */
  end?(): readonly string[];
}

/** Who carries out statements beside the script. */
export interface Aside {
  takes(statement: Buffer): boolean;
  insert(statement: Buffer): Promise<void>;
  /** All of them are carried out: the script may go on. */
  settled(): Promise<void>;
  /** A statement to be sent, and whether the reader of the script has come to it; false: it never will. */
  mark(): { readonly statement: Buffer; readonly reached: Promise<boolean> };
}

/** Beyond that a statement is none of a dump tool's; an INSERT is not held. */
const MAX_STATEMENT_BYTES = 64 * 1024 * 1024;
/** An INSERT that is larger than a dump's, for one large row, is not held to go aside. */
const MAX_ASIDE_BYTES = 8 * 1024 * 1024;
/** No sign that has to be seen as a whole is longer: `/*`, a delimiter. */
const LOOKAHEAD_BYTES = 16;

/** A SET statement is no longer. */
const MAX_SET_CHARS = 4096;
const SQL_MODE = /(?<![@\w])(?:@@)?(?:SESSION\s+|SESSION\.)?SQL_MODE\s*=\s*('([^']*)'|@)/gi;

const QUOTE = 0x27;
const DOUBLE = 0x22;
const TICK = 0x60;
const BACKSLASH = 0x5c;
const NEWLINE = 0x0a;
const SLASH = 0x2f;
const STAR = 0x2a;
const DASH = 0x2d;
const HASH = 0x23;
const BANG = 0x21;
const M = 0x4d;
const OPEN = 0x28;

/** head: what it is is not known yet; hold: to its end; line: a command of the client, to the end of its line. */
type Mode = 'head' | 'hold' | 'insert' | 'pass' | 'skip' | 'aside' | 'line';

/**
 * Walks through a dump as the client does, statement by statement, minding strings, identifiers, comments and
 * DELIMITER, and hands each to `handler`. Yields what is to be sent. Rows are never held in memory.
 * Throws `corrupt` where the dump ends within a statement.
 */
export async function* scanStatements(
  chunks: AsyncIterable<Uint8Array>,
  handler: StatementHandler,
  aside?: Aside,
): AsyncGenerator<Uint8Array> {
  let carry: Buffer = Buffer.alloc(0);
  let mode: Mode = 'head';
  /** The quote that we are in; NEWLINE: a comment to the end of the line; STAR: one to its end sign. */
  let inside = 0;
  let delimiter: Buffer = Buffer.from(';');
  /** What quotes mean to the server and to its client, by the sql_mode that the dump sets. */
  let backslashes = true;
  let ansiQuotes = false;
  let held: Buffer[] = [];
  let heldBytes = 0;
  let word = '';
  let out: (Uint8Array | Statement)[] = [];

  /** The bytes from `start` to `end` of the current statement: kept, sent on or dropped. */
  const take = (data: Buffer, start: number, end: number) => {
    if (end <= start) return;
    if (mode === 'pass') out.push(data.subarray(start, end));
    else if (mode !== 'skip') {
      held.push(data.subarray(start, end));
      heldBytes += end - start;
      if (mode === 'aside' && heldBytes > MAX_ASIDE_BYTES) {
        mode = 'pass';
        out.push(...held);
        held = [];
        heldBytes = 0;
      }
      if (heldBytes > MAX_STATEMENT_BYTES) throw tooLong();
    }
  };
  const release = () => {
    const text = held.length === 1 ? held[0]!.toString('latin1') : Buffer.concat(held).toString('latin1');
    held = [];
    heldBytes = 0;
    return text;
  };

  const walk = (data: Buffer, limit: number): number => {
    let at = 0;
    let start = 0;
    while (at < limit) {
      const byte = data[at]!;
      if (inside !== 0) {
        if (inside === STAR) {
          const end = data.indexOf('*/', at);
          if (end < 0 || end >= limit) {
            at = end < 0 ? limit : end;
            if (end < 0) continue;
            break;
          }
          at = end + 2;
          inside = 0;
          continue;
        }
        if (inside === NEWLINE || inside === TICK) {
          const end = data.indexOf(inside, at);
          if (end < 0 || end >= limit) {
            at = limit;
            break;
          }
          at = end + 1;
          inside = 0;
          continue;
        }
        // A string: the byte after a backslash is never its end. A doubled quote ends one and begins another.
        const escapes = inside === DOUBLE ? !ansiQuotes && backslashes : backslashes;
        while (at < limit) {
          const inner = data[at]!;
          if (inner === BACKSLASH && escapes) at += 2;
          else if (inner === inside) {
            at++;
            inside = 0;
            break;
          } else at++;
        }
        continue;
      }
      if (mode === 'line') {
        const end = data.indexOf(NEWLINE, at);
        if (end < 0 || end >= limit) {
          at = limit;
          break;
        }
        take(data, start, end + 1);
        const line = release();
        const named = /^\s*\S+\s+(\S+)/.exec(line.slice(line.toUpperCase().lastIndexOf('DELIMITER')))?.[1];
        if (named === undefined || named.length > LOOKAHEAD_BYTES)
          throw broken('names no delimiter that can be');
        delimiter = Buffer.from(named, 'latin1');
        out.push(Buffer.from(line, 'latin1'));
        start = at = end + 1;
        mode = 'head';
        word = '';
        continue;
      }
      if (byte === delimiter[0] && matches(data, at, delimiter)) {
        take(data, start, at);
        const end = at + delimiter.length;
        if (mode === 'pass') out.push(data.subarray(at, end));
        else if (mode === 'aside') {
          const bytes = Buffer.concat(held);
          held = [];
          heldBytes = 0;
          if (aside?.takes(bytes)) out.push({ bytes });
          else out.push(bytes, data.subarray(at, end));
        } else if (mode !== 'skip') {
          const text = release();
          const mode = sqlModeOf(text);
          if (mode !== undefined) {
            backslashes = !/\bNO_BACKSLASH_ESCAPES\b/i.test(mode);
            ansiQuotes = /\bANSI(_QUOTES)?\b/i.test(mode);
          }
          const sent = text.trim() === '' ? text : handler.statement(text);
          if (sent !== undefined) out.push(Buffer.from(sent, 'latin1'), data.subarray(at, end));
        }
        start = at = end;
        mode = 'head';
        word = '';
        continue;
      }
      if (byte === QUOTE || byte === DOUBLE || byte === TICK) inside = byte;
      else if (byte === HASH) inside = NEWLINE;
      else if (byte === DASH && data[at + 1] === DASH && (data[at + 2] ?? NEWLINE) <= 0x20) inside = NEWLINE;
      else if (byte === SLASH && data[at + 1] === STAR) {
        const carriedOut = data[at + 2] === BANG || (data[at + 2] === M && data[at + 3] === BANG);
        if (!carriedOut) {
          inside = STAR;
          at += 2;
          continue;
        }
        at += data[at + 2] === M ? 3 : 2;
      } else if (mode === 'head') {
        if (isLetter(byte)) word += String.fromCharCode(byte);
        else if (word !== '') {
          mode = modeOf(word.toUpperCase());
          continue;
        }
      } else if (mode === 'insert' && byte === OPEN) {
        take(data, start, at);
        start = at;
        const head = release();
        mode = handler.insert(head);
        if (mode === 'pass') out.push(Buffer.from(head, 'latin1'));
        else if (mode === 'aside') {
          held = [Buffer.from(head, 'latin1')];
          heldBytes = head.length;
        }
      }
      at++;
    }
    const end = Math.min(at, data.length);
    take(data, start, end);
    // A backslash at the very end looked one byte too far.
    return at;
  };

  let wasAside = false;
  /** True where the reader of the script has gone away. */
  async function* send(): AsyncGenerator<Uint8Array, boolean> {
    const items = out;
    out = [];
    let pieces: Uint8Array[] = [];
    for (const item of items) {
      if (item instanceof Uint8Array) {
        if (wasAside) await aside?.settled();
        wasAside = false;
        pieces.push(item);
        continue;
      }
      if (!wasAside) {
        const mark = aside!.mark();
        yield Buffer.concat([...pieces, mark.statement]);
        pieces = [];
        if (!(await mark.reached)) return true;
        wasAside = true;
      }
      await aside!.insert(item.bytes);
    }
    if (pieces.length > 0) yield Buffer.concat(pieces);
    return false;
  }

  let skipBytes = 0;
  for await (const chunk of chunks) {
    let data = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (carry.length > 0) data = Buffer.concat([carry, data]);
    const limit = data.length - LOOKAHEAD_BYTES;
    if (limit <= 0) {
      carry = data;
      continue;
    }
    const at = walk(data, limit);
    carry = Buffer.from(data.subarray(at));
    // What is held points into the chunk, which is the reader's again.
    held = held.map((piece) => Buffer.from(piece));
    if (yield* send()) return;
  }
  skipBytes = walk(carry, carry.length) - carry.length;
  if (yield* send()) return;
  if (wasAside) await aside?.settled();
  const rest = release();
  const open = mode !== 'head' || word !== '' || skipBytes > 0;
  if (open || (inside !== 0 && inside !== NEWLINE)) throw broken('ends within a statement');
  for (const sent of handler.end?.() ?? []) {
    yield Buffer.concat([Buffer.from(`\n${sent}`, 'latin1'), delimiter, Buffer.from('\n')]);
  }
  if (rest !== '') yield Buffer.from(rest, 'latin1');
}

interface Statement {
  readonly bytes: Buffer;
}

function matches(data: Buffer, at: number, wanted: Buffer): boolean {
  for (let i = 1; i < wanted.length; i++) if (data[at + i] !== wanted[i]) return false;
  return true;
}

/** The sql_mode that a statement sets; '' where it sets what was before, which a dump's own is. */
export function sqlModeOf(statement: string): string | undefined {
  if (statement.length > MAX_SET_CHARS) return undefined;
  return [...statement.matchAll(SQL_MODE)].map(([, , mode]) => mode ?? '').at(-1);
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x5f;
}

function modeOf(word: string): Mode {
  if (word === 'INSERT' || word === 'REPLACE') return 'insert';
  return word === 'DELIMITER' ? 'line' : 'hold';
}

function broken(why: string): DguardError {
  return new DguardError('corrupt', `the dump ${why}`, { operation: 'read dump' });
}

function tooLong(): DguardError {
  return broken(`holds a statement of more than ${MAX_STATEMENT_BYTES} bytes`);
}
