import { readdir, realpath } from 'node:fs/promises';
import nodePath from 'node:path';
import { type ReadFile, readWithFacts, resolvePath, textProblem } from './files.ts';
import { type Env, interpolateTree } from './interpolate.ts';
import type { ConfigProblem, Position } from './problems.ts';
import { NAMED_SECTIONS } from './schema/root.ts';
import { createMarks, isTreeMap, type Marks, parseTree, problemAt, type Tree, type TreeMap } from './tree.ts';

/** A configuration and all that it includes, merged into one interpolated tree. */
export interface MergedTree {
  readonly tree: TreeMap;
  readonly marks: Marks;
  readonly files: readonly ReadFile[];
  readonly problems: ConfigProblem[];
}

const MERGED: readonly string[] = ['defaults', ...NAMED_SECTIONS];

/**
 * Reads a configuration file with its includes. Sections are merged name by name; a name defined twice,
 * a file included twice (a cycle among them) and a file that is not there are problems.
 */
export async function readMerged(file: string, env: Env): Promise<MergedTree> {
  const merged: MergedTree = { tree: Object.create(null), marks: createMarks(), files: [], problems: [] };
  const seen = new Map<string, string>();
  await addFile(file, undefined, []);
  return merged;

  async function addFile(
    path: string,
    includedAt: Position | undefined,
    chain: readonly string[],
  ): Promise<void> {
    const report = (message: string) =>
      merged.problems.push({
        severity: 'invalid',
        position: includedAt ?? { file: path, line: 1, column: 1 },
        path: includedAt === undefined ? '' : 'include',
        message,
      });
    const real = await realpath(path).catch(() => path);
    if (chain.includes(real)) return void report(`${path} includes itself`);
    if (seen.has(real)) return void report(`${path} is included twice`);
    seen.set(real, path);
    const read = await readWithFacts(path);
    if (typeof read === 'string') return void report(includedAt === undefined ? read : `${path} ${read}`);
    const notText = textProblem(read.bytes);
    if (notText !== undefined) return void report(includedAt === undefined ? notText : `${path} ${notText}`);
    (merged.files as ReadFile[]).push(read);
    const parsed = parseTree(read.bytes.toString('utf8'), path);
    merged.problems.push(...parsed.problems, ...interpolateTree(parsed.tree, parsed.marks, env));
    if (parsed.problems.length > 0) return;
    if (parsed.tree !== null && !isTreeMap(parsed.tree)) return void report('must be a mapping of sections');
    if (parsed.tree === null && includedAt === undefined)
      return void report('is empty; copy backup.example.yaml, which shows every key');
    const own: TreeMap = parsed.tree ?? Object.create(null);
    mergeInto(merged, own, parsed.marks, includedAt === undefined);
    for (const { pattern, position } of includesOf(own, parsed.marks, merged.problems)) {
      const paths = await expandGlob(resolvePath(pattern, path, env));
      for (const included of paths) await addFile(included, position, [...chain, real]);
    }
  }
}

/** Moves the sections of one file into the merged tree. */
function mergeInto(merged: MergedTree, own: TreeMap, marks: Marks, isMain: boolean): void {
  for (const [key, value] of Object.entries(own)) {
    if (key === 'include') continue;
    const section = merged.tree[key];
    if (key === 'version' && !isMain) {
      if (value !== 1) merged.problems.push(problemAt(marks, ['version'], 'must be 1'));
    } else if (MERGED.includes(key) && value === null) {
      // A section whose entries are all commented out.
    } else if (MERGED.includes(key) && isTreeMap(value) && isTreeMap(section)) {
      for (const [name, entry] of Object.entries(value)) {
        if (Object.hasOwn(section, name)) {
          const first = merged.marks.position([key, name]);
          const where = first === undefined ? '' : `, first in ${first.file}:${first.line}`;
          merged.problems.push(problemAt(marks, [key, name], `is defined twice${where}`));
        } else section[name] = entry;
      }
    } else if (section === undefined) {
      merged.tree[key] = value;
    } else {
      merged.problems.push(problemAt(marks, [key], 'cannot be merged with what another file says here'));
    }
  }
  merged.marks.adopt(marks);
}

function includesOf(
  own: TreeMap,
  marks: Marks,
  problems: ConfigProblem[],
): { pattern: string; position: Position }[] {
  const include: Tree = own['include'] ?? [];
  const found: { pattern: string; position: Position }[] = [];
  for (const [i, pattern] of (Array.isArray(include) ? include : [include]).entries()) {
    if (typeof pattern === 'string' && pattern !== '') {
      found.push({ pattern, position: marks.position(['include', i])! });
    } else problems.push(problemAt(marks, ['include', i], 'must be a path or a list of paths'));
  }
  return found;
}

/** The files that `*` and `?` within the parts of an absolute path match, sorted; without them the path itself. */
async function expandGlob(pattern: string): Promise<string[]> {
  let paths = [nodePath.parse(pattern).root];
  for (const part of pattern.split(nodePath.sep).slice(1)) {
    if (!/[*?]/.test(part)) {
      paths = paths.map((path) => nodePath.join(path, part));
      continue;
    }
    const source = part
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.');
    const matcher = new RegExp(`^(?!\\.)${source}$`);
    const next: string[] = [];
    for (const path of paths) {
      // A folder that is not there holds no match; one that may not be read is an error for `open` to tell.
      const names = await readdir(path).catch(() => []);
      next.push(
        ...names
          .filter((name) => matcher.test(name))
          .sort()
          .map((name) => nodePath.join(path, name)),
      );
    }
    paths = next;
  }
  return paths;
}
