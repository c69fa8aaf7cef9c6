import type * as z from 'zod';
import { resolvePath } from './files.ts';
import type { Env } from './interpolate.ts';
import { factsOf, type SecretForm } from './schema/fields.ts';
import { isTreeMap, type Marks, type Tree, type TreeMap, type TreePath } from './tree.ts';

/** A secret as the configuration names it, not yet looked at. */
export interface SecretPlace {
  /** Of the secret's own key, `…password`, whichever of the three keys is given. */
  readonly path: TreePath;
  /** Of the key that is given. */
  readonly at: TreePath;
  readonly form: SecretForm;
  readonly from: 'value' | 'file' | 'command';
  readonly value: Tree;
}

export interface Prepared {
  readonly secrets: readonly SecretPlace[];
  /** Where the configuration says what to execute. */
  readonly commands: readonly TreePath[];
}

/**
 * Walks schema and tree together and brings the tree into the one form that the schema checks: a single
 * value becomes a list where a list is due, shorthand becomes a mapping, interpolated text becomes the
 * number or boolean that it spells, paths become absolute. Whatever does not fit is left for the schema
 * to complain about.
 */
export function prepareTree(schema: z.core.$ZodType, tree: TreeMap, marks: Marks, env: Env): Prepared {
  const secrets: SecretPlace[] = [];
  const commands: TreePath[] = [];

  const visit = (outer: z.core.$ZodType, given: Tree, path: TreePath): Tree => {
    const node = unwrap(outer);
    const facts = factsOf(node);
    let value = given;
    if (facts?.kind === 'list' && isScalar(value)) value = [value];
    if (facts?.kind === 'shorthand' && isScalar(value)) value = mapOf(facts.key, value);
    if (facts?.kind === 'words') {
      if (value === true || value === 'true') return facts.yes;
      if (value === false || value === 'false') return facts.no;
    }
    if (
      (facts?.kind === 'path' || facts?.kind === 'secret_file' || facts?.kind === 'command_path') &&
      isText(value)
    ) {
      value = resolvePath(value, marks.position(path)?.file ?? '/', env);
    }
    if (facts?.kind === 'command' || facts?.kind === 'command_path' || facts?.kind === 'secret_command') {
      commands.push(path);
    }
    if (facts?.kind === 'secret' || facts?.kind === 'secret_file' || facts?.kind === 'secret_command') {
      const from = facts.kind === 'secret' ? 'value' : facts.kind === 'secret_file' ? 'file' : 'command';
      const own = facts.name === '' ? path : [...path.slice(0, -1), facts.name];
      secrets.push({ path: own, at: path, form: facts.form, from, value });
    }
    return descend(node, value, path);
  };

  const descend = (node: Definition, value: Tree, path: TreePath): Tree => {
    const def = node._zod.def;
    if (def.type === 'object' && isTreeMap(value)) {
      for (const key of Object.keys(value)) {
        const member = Object.hasOwn(def.shape, key) ? def.shape[key] : undefined;
        if (member !== undefined) value[key] = visit(member, value[key]!, [...path, key]);
      }
    } else if (def.type === 'record' && isTreeMap(value)) {
      for (const key of Object.keys(value)) value[key] = visit(def.valueType, value[key]!, [...path, key]);
    } else if (def.type === 'array' && Array.isArray(value)) {
      for (const [i, item] of value.entries()) value[i] = visit(def.element, item, [...path, i]);
    } else if (def.type === 'union') {
      const option = optionFor(node, value);
      if (option !== undefined) return visit(option, value, path);
    } else if (isText(value) && marks.get(path)?.interpolated) {
      if (def.type === 'number' && /^-?\d+(\.\d+)?$/.test(value)) return Number(value);
      if (def.type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true';
    }
    return value;
  };

  visit(schema, tree, []);
  return { secrets, commands };
}

/** The keys that the schema knows at a place of the tree; empty where it is no mapping of fixed keys. */
export function keysAt(schema: z.core.$ZodType, tree: Tree, path: TreePath): string[] {
  let node: Definition | undefined = unwrap(schema);
  let value: Tree | undefined = tree;
  for (const part of [...path, undefined]) {
    if (node?._zod.def.type === 'union') {
      const option = optionFor(node, value ?? null);
      node = option === undefined ? undefined : unwrap(option);
    }
    if (node === undefined || part === undefined) break;
    const def: Definition['_zod']['def'] = node._zod.def;
    const next: z.core.$ZodType | undefined =
      def.type === 'object'
        ? def.shape[part]
        : def.type === 'record'
          ? def.valueType
          : def.type === 'array'
            ? def.element
            : undefined;
    node = next === undefined ? undefined : unwrap(next);
    value = (value as TreeMap | undefined)?.[part as string];
  }
  return node?._zod.def.type === 'object' ? Object.keys(node._zod.def.shape) : [];
}

type Definition = z.core.$ZodTypes;

function unwrap(schema: z.core.$ZodType): Definition {
  let node = schema as Definition;
  while (node._zod.def.type === 'optional') node = node._zod.def.innerType as Definition;
  return node;
}

/** The member of a discriminated union that the value's `type` chooses. */
function optionFor(node: Definition, value: Tree): z.core.$ZodType | undefined {
  if (node._zod.def.type !== 'union' || !isTreeMap(value)) return undefined;
  const type = value['type'];
  return node._zod.def.options.find((option) => {
    const { def } = unwrap(option)._zod;
    const field = def.type === 'object' ? def.shape['type'] : undefined;
    return field?._zod.values?.has(type as string) === true;
  });
}

function mapOf(key: string, value: Tree): TreeMap {
  const map: TreeMap = Object.create(null);
  map[key] = value;
  return map;
}

const isText = (value: Tree): value is string => typeof value === 'string' && value.trim() !== '';
const isScalar = (value: Tree): boolean => value !== null && typeof value !== 'object';
