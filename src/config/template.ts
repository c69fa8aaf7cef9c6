import { suggest } from './suggest.ts';

/** What a path template may name. */
const TEMPLATE_VARIABLES = [
  'job',
  'datasource',
  'host',
  'type',
  'date',
  'time',
  'year',
  'month',
  'day',
  'id',
] as const;

export const DEFAULT_PATH_TEMPLATE = '{job}/{datasource}/{id}';

/** What is wrong with a path template, or undefined. Its fixed text follows the grammar of storage keys. */
export function templateProblem(template: string): string | undefined {
  for (const [, name] of template.matchAll(/\{([^{}]*)\}/g)) {
    if ((TEMPLATE_VARIABLES as readonly string[]).includes(name!)) continue;
    const near = suggest(name!, TEMPLATE_VARIABLES);
    const help =
      near === undefined ? `known are ${TEMPLATE_VARIABLES.join(', ')}` : `did you mean {${near}}?`;
    return `names the unknown variable {${name}}; ${help}`;
  }
  const fixed = template.replaceAll(/\{[^{}]*\}/g, 'x');
  if (/[{}]/.test(fixed)) return 'has a brace without its partner';
  if (!template.includes('{id}')) return 'must contain {id}, or two backups would share a folder';
  return prefixProblem(fixed);
}

/** What is wrong with a run of storage key parts, or undefined. */
export function prefixProblem(prefix: string): string | undefined {
  for (const part of prefix.split('/')) {
    if (part === '') return 'must not begin or end with / or hold an empty part';
    if (part === '.' || part === '..') return 'must not hold the parts . or ..';
    if (!/^[A-Za-z0-9._%=-]+$/.test(part))
      return 'may hold only letters, digits and . _ % = - between slashes';
  }
  return undefined;
}
