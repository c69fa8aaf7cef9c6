import type { Node, Scalar, YAMLMap } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, Lexer, LineCounter, Parser, parseDocument } from 'yaml';
import type { ConfigProblem, Position } from './problems.ts';
import { yamlProblems } from './yaml-problems.ts';

/** A parsed YAML value. Mappings have no prototype: no key of theirs can be mistaken for an inherited one. */
export type Tree = string | number | boolean | null | Tree[] | TreeMap;
export interface TreeMap {
  [key: string]: Tree;
}
export type TreePath = readonly (string | number)[];

/** What is known about a place in the tree besides its value. */
export interface Mark {
  /** Of the key if the value belongs to a mapping, else of the value. */
  readonly position: Position;
  /** A text as it stands in the file, before `${…}` was replaced. */
  raw?: string;
  /** Some of the text came out of a `${…}`. */
  interpolated?: boolean;
  /** The file holds the value itself, or a default for it. */
  literal?: boolean;
}

export interface ParsedTree {
  readonly tree: Tree;
  readonly marks: Marks;
  readonly problems: readonly ConfigProblem[];
}

/** Marks by path. */
export interface Marks {
  get(path: TreePath): Mark | undefined;
  /** The position of the path, or of its nearest known ancestor. */
  position(path: TreePath): Position | undefined;
  set(path: TreePath, mark: Mark): void;
  entries(): IterableIterator<[string, Mark]>;
  adopt(other: Marks): void;
}

/** Aliases may repeat parts of a file; a tree of more nodes than this is an attack or a slip. */
const MAX_NODES = 100_000;
/** Levels; a configuration has about eight. */
const MAX_DEPTH = 100;

/** Not which: it may be a password without quotes. */
const NO_ANCHOR =
  'a value that begins with * is an alias, and this one names no anchor; put a text in quotes';

const NO_MERGE = 'merge keys (<<) are not read: write the keys out, or give a whole mapping an anchor';

/** Parses one YAML text. Problems name positions and never quote the text, which may hold secrets. */
export function parseTree(text: string, file: string): ParsedTree {
  const marks = createMarks();
  const problems: ConfigProblem[] = [];
  const lineCounter = new LineCounter();
  const positionAt = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const report = (offset: number, message: string, hint?: string) =>
    problems.push({
      severity: 'invalid',
      position: positionAt(offset),
      path: '',
      message,
      ...(hint === undefined ? {} : { hint }),
    });

  if (nestsTooDeep(text)) {
    report(0, 'is nested too deeply');
    return { tree: Object.create(null), marks, problems };
  }
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true });
  for (const { offset, message, hint } of yamlProblems([...document.errors, ...document.warnings], text)) {
    report(offset, message, hint);
  }
  if (problems.length > 0) return { tree: Object.create(null), marks, problems };

  let nodes = 0;
  const fail = (message: string, position: Position): null => {
    if (problems.length === 0) problems.push({ severity: 'invalid', position, path: '', message });
    return null;
  };
  const open = new Set<Node>();
  const convert = (node: unknown, path: TreePath, position: Position): Tree => {
    if (problems.length > 0) return null;
    if (++nodes > MAX_NODES) return fail('aliases make more of this file than can be meant', position);
    if (path.length > MAX_DEPTH) return fail('is nested too deeply', position);
    marks.set(path, { position });
    if (isAlias(node)) {
      const target = node.resolve(document) as Node | undefined;
      if (target === undefined) return fail(NO_ANCHOR, position);
      if (open.has(target)) return fail('an alias holds itself', position);
      return convert(target, path, position);
    }
    if (isScalar(node)) {
      const value = node.value;
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
      return value === null || value === undefined ? null : String(value);
    }
    if (!isMap(node) && !isSeq(node)) return null;
    open.add(node);
    const made = isSeq(node)
      ? node.items.map((item, i) => convert(item, [...path, i], positionOf(item, position)))
      : convertMap(node, path, position);
    open.delete(node);
    return made;
  };
  const convertMap = (node: YAMLMap, path: TreePath, position: Position): TreeMap => {
    const map: TreeMap = Object.create(null);
    for (const { key, value } of node.items) {
      const at = positionOf(key, position);
      // The source, not the value: `2024` and `yes` are names here.
      // zod passes over this one without a word.
      if (isScalar(key) && sourceOf(key) === '__proto__') fail('__proto__ is no key that can be used', at);
      else if (isScalar(key) && sourceOf(key) === '<<') fail(NO_MERGE, at);
      else if (isScalar(key)) map[sourceOf(key)] = convert(value, [...path, sourceOf(key)], at);
      else fail('a key must be plain text', at);
    }
    return map;
  };
  const positionOf = (node: unknown, otherwise: Position): Position => {
    const range = (node as Node | null)?.range;
    return range ? positionAt(range[0]) : otherwise;
  };

  const tree = convert(document.contents, [], positionAt(0));
  return { tree: problems.length > 0 ? Object.create(null) : tree, marks, problems };
}

/**
 * Composing a document recurses, and V8 ends the whole process, uncatchably, if the stack runs out inside
 * of a regular expression. The parser below it keeps a stack of its own, which can be measured.
 */
function nestsTooDeep(text: string): boolean {
  const parser = new Parser();
  for (const lexeme of new Lexer().lex(text)) {
    for (const _ of parser.next(lexeme)) if (parser.stack.length > MAX_DEPTH) return true;
    if (parser.stack.length > MAX_DEPTH) return true;
  }
  return false;
}

function sourceOf(key: Scalar): string {
  return key.source ?? String(key.value);
}

export function createMarks(): Marks {
  const byPath = new Map<string, Mark>();
  return {
    get: (path) => byPath.get(JSON.stringify(path)),
    position(path) {
      for (let length = path.length; length >= 0; length--) {
        const mark = byPath.get(JSON.stringify(path.slice(0, length)));
        if (mark !== undefined) return mark.position;
      }
      return undefined;
    },
    set: (path, mark) => void byPath.set(JSON.stringify(path), mark),
    entries: () => byPath.entries(),
    adopt(other) {
      for (const [path, mark] of other.entries()) if (!byPath.has(path)) byPath.set(path, mark);
    },
  };
}

export function isTreeMap(tree: Tree | undefined): tree is TreeMap {
  return typeof tree === 'object' && tree !== null && !Array.isArray(tree);
}

/** Hears of a problem at a path. */
export type Report = (
  path: TreePath,
  message: string,
  hint?: string,
  severity?: ConfigProblem['severity'],
) => void;

/** A problem at a place of the tree. */
export function problemAt(
  marks: Marks,
  path: TreePath,
  message: string,
  hint?: string,
  severity: ConfigProblem['severity'] = 'invalid',
): ConfigProblem {
  const position = marks.position(path);
  return {
    severity,
    ...(position && { position }),
    path: formatPath(path),
    message,
    ...(hint !== undefined && { hint }),
  };
}

/** `jobs.prod.destinations[1].name`. */
function formatPath(path: TreePath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? part : `${text}.${part}`;
  }, '');
}
