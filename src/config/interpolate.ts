import type { ConfigProblem } from './problems.ts';
import { isTreeMap, type Marks, problemAt, type Tree, type TreePath } from './tree.ts';

export type Env = Readonly<Record<string, string | undefined>>;

// biome-ignore lint/suspicious/noTemplateCurlyInString: the message is about that very text
const MALFORMED = 'holds a "${" that begins no ${NAME} or ${NAME:-default}; write $${ for the text itself';

export interface Interpolated {
  readonly text: string;
  /** Some of the text came out of a `${…}`. */
  readonly interpolated: boolean;
  /** What stands in the file is a value itself, not only a reference to one. */
  readonly literal: boolean;
  readonly problems: readonly string[];
}

/**
 * Replaces `${VAR}` and `${VAR:-default}` (where VAR is unset or empty) by values of `env`, and `$$` by a
 * dollar. Any other `$` stays. One pass: a `$` inside of a value is never looked at again. Works on parsed
 * scalars only, so that no value can become YAML.
 */
export function interpolate(text: string, env: Env): Interpolated {
  const problems: string[] = [];
  let interpolated = false;
  let hasDefault = false;
  const replaced = text.replaceAll(/\$\$|\$\{([^}]*)(\}?)/g, (found, inner: string | undefined, end) => {
    if (found === '$$') return '$';
    interpolated = true;
    const match = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(inner ?? '');
    if (match === null || end !== '}') {
      problems.push(MALFORMED);
      return found;
    }
    const [, name, fallback] = match;
    const value = Object.hasOwn(env, name!) ? env[name!] : undefined;
    if (fallback !== undefined) {
      if (fallback !== '') hasDefault = true;
      return value === undefined || value === '' ? fallback : value;
    }
    if (value === undefined) problems.push(`names the environment variable ${name}, which is not set`);
    return value ?? '';
  });
  return { text: replaced, interpolated, literal: !interpolated || hasDefault, problems };
}

/**
 * Interpolates every scalar of a tree in place. Hooks that are text are left as they are: `sh` expands
 * them itself, and a value must never become part of a command.
 */
export function interpolateTree(tree: Tree, marks: Marks, env: Env): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const visit = (value: Tree, path: TreePath): Tree => {
    if (Array.isArray(value)) {
      for (const [i, item] of value.entries()) value[i] = visit(item, [...path, i]);
    } else if (isTreeMap(value)) {
      for (const key of Object.keys(value)) value[key] = visit(value[key]!, [...path, key]);
    } else if (typeof value === 'string' && !isShellText(path)) {
      const found = interpolate(value, env);
      const mark = marks.get(path);
      if (mark !== undefined) {
        mark.raw = value;
        mark.interpolated = found.interpolated;
        mark.literal = found.literal;
      }
      for (const message of found.problems) problems.push(problemAt(marks, path, message));
      return found.text;
    }
    return value;
  };
  visit(tree, []);
  return problems;
}

/** `jobs.NAME.hooks.KIND` or one of its items. */
function isShellText(path: TreePath): boolean {
  return path[0] === 'jobs' && path[2] === 'hooks' && path.length <= 5;
}
