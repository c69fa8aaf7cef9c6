import type * as z from 'zod';
import { keysAt } from './prepare.ts';
import type { ConfigProblem } from './problems.ts';
import { NAME_MESSAGE } from './schema/fields.ts';
import { suggest } from './suggest.ts';
import { type Marks, problemAt, type Tree, type TreeMap, type TreePath } from './tree.ts';

/** What the schema found, in the words of a person, each at its place in the files. */
export function issueProblems(
  issues: readonly z.core.$ZodIssue[],
  schema: z.core.$ZodType,
  tree: TreeMap,
  marks: Marks,
): ConfigProblem[] {
  return issues.flatMap((issue) => {
    const path = issue.path as TreePath;
    if (issue.code !== 'unrecognized_keys') {
      const { message, hint } = describe(issue, valueAt(tree, path), marks.get(path)?.interpolated === true);
      return [problemAt(marks, path, message, hint)];
    }
    const known = keysAt(schema, tree, path);
    const present = Object.keys((valueAt(tree, path) ?? {}) as TreeMap);
    return issue.keys.map((key) => {
      const near = suggest(
        key,
        known.filter((candidate) => !present.includes(candidate)),
      );
      const hint = homeOf(key, path, (at) => keysAt(schema, tree, at)) ?? (near && `did you mean ${near}?`);
      return problemAt(marks, [...path, key], 'is no key that is known here', hint);
    });
  });
}

/** Where a key is known that was written a level too high or too low. */
function homeOf(
  key: string,
  path: TreePath,
  keysOf: (path: TreePath) => readonly string[],
): string | undefined {
  const below = keysOf(path).find((candidate) => keysOf([...path, candidate]).includes(key));
  if (below !== undefined) return `it belongs to ${below}, a level below`;
  if (keysOf(path.slice(0, -1)).includes(key)) return `it belongs a level above, beside ${path.at(-1)}`;
  return undefined;
}

function describe(
  issue: z.core.$ZodIssue,
  value: Tree | undefined,
  interpolated: boolean,
): { message: string; hint?: string } {
  if (value === undefined && issue.code !== 'invalid_key') return { message: missing(issue) };
  if (value === null) return { message: 'has no value', hint: 'remove the key or give it one' };
  switch (issue.code) {
    case 'invalid_type':
      if (!issue.message.startsWith('Invalid input')) return { message: issue.message };
      return { message: expectation(issue.expected), ...(issue.expected === 'string' && quoteHint(value)) };
    case 'invalid_value':
      return choice(issue.values.map(String), value, interpolated);
    case 'invalid_union': {
      const { options, discriminator } = issue as { options?: unknown[]; discriminator?: string };
      if (discriminator !== undefined) return choice((options ?? []).map(String), value, interpolated);
      return { message: issue.message };
    }
    case 'invalid_key':
      return { message: issue.issues[0]?.message ?? NAME_MESSAGE };
    case 'too_small':
      if (issue.origin === 'array') return { message: 'needs at least one entry' };
      if (issue.origin === 'string') return { message: 'must not be empty' };
      return { message: `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}` };
    case 'too_big':
      return { message: `must be at most ${issue.maximum}` };
    default:
      return { message: issue.message };
  }
}

function missing(issue: z.core.$ZodIssue): string {
  const { options, values } = issue as { options?: unknown[]; values?: unknown[] };
  const choices = options ?? values;
  return choices === undefined || choices.length === 0
    ? 'is required'
    : `is required: ${choices.length === 1 ? '' : 'one of '}${choices.join(', ')}`;
}

function choice(options: readonly string[], value: Tree | undefined, interpolated: boolean) {
  const message = `must be ${options.length === 1 ? '' : 'one of '}${options.join(', ')}`;
  // What came from the environment may be a secret in the wrong place: it is not played back.
  const near = typeof value === 'string' && !interpolated ? suggest(value, options) : undefined;
  return near === undefined ? { message } : { message, hint: `did you mean ${near}?` };
}

function quoteHint(value: Tree | undefined): { hint: string } | undefined {
  return typeof value === 'number' || typeof value === 'boolean'
    ? { hint: 'put the value in quotes' }
    : undefined;
}

function expectation(expected: string): string {
  const words: Readonly<Record<string, string>> = {
    string: 'must be text',
    number: 'must be a number',
    int: 'must be a whole number',
    boolean: 'must be true or false',
    array: 'must be a list',
    object: 'must be a mapping of keys and values',
    record: 'must be a mapping of names',
  };
  return words[expected] ?? `must be of type ${expected}`;
}

function valueAt(tree: Tree, path: TreePath): Tree | undefined {
  let value: Tree | undefined = tree;
  for (const part of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as TreeMap)[part as string];
  }
  return value;
}
