import { DguardError } from '../../errors.ts';
import type { Warning } from '../types.ts';
import { warnOfUnmet } from '../unmet.ts';
import type { TableInfo } from './database/catalog.ts';

export interface TablePatterns {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

export interface TableSelection {
  readonly kept: readonly TableInfo[];
  readonly dropped: readonly TableInfo[];
}

/**
 * Which tables a selection keeps. A table is kept when, in every layer, it matches an include pattern (or
 * there is none) and no exclude pattern. Shadow tables follow their virtual table and are never named.
 */
export function selectTables(
  tables: readonly TableInfo[],
  layers: readonly TablePatterns[],
  subject: string,
  warn: (warning: Warning) => void,
): TableSelection {
  const named = tables.filter((table) => table.kind === 'table' || table.kind === 'virtual');
  const isMet = (pattern: string) => {
    const matches = tableMatcher(pattern);
    return named.some((table) => matches(table.name));
  };
  const patterns = layers.flatMap((layer) => [...layer.include, ...layer.exclude]);
  warnOfUnmet(patterns, isMet, warn);
  const keeps = layers.map((layer) => layerFilter(layer));
  const kept = named.filter((table) => keeps.every((keep) => keep(table.name)));
  if (kept.length === 0 && named.length > 0) {
    throw new DguardError('source_empty', 'no table is left by the include and exclude patterns', {
      operation: 'select tables',
      subject,
      hint: `tables there: ${named
        .slice(0, 20)
        .map((table) => table.name)
        .join(', ')}`,
    });
  }
  return { kept, dropped: named.filter((table) => !kept.includes(table)) };
}

function layerFilter(layer: TablePatterns): (name: string) => boolean {
  const include = layer.include.map(tableMatcher);
  const exclude = layer.exclude.map(tableMatcher);
  return (name) =>
    (include.length === 0 || include.some((matches) => matches(name))) &&
    !exclude.some((matches) => matches(name));
}

/** A glob of table names: `*`, `?`, `[a-z]`, `{a,b}`, `\` before a literal. Case as SQLite has it: none. */
export function tableMatcher(glob: string): (name: string) => boolean {
  let source = '';
  let depth = 0;
  for (let i = 0; i < glob.length; i++) {
    const char = glob[i]!;
    const close = char === '[' ? glob.indexOf(']', i + 2) : -1;
    if (char === '*') source += '.*';
    else if (char === '?') source += '.';
    else if (close > 0) {
      const body = glob
        .slice(i + 1, close)
        .replace(/^!/, '^')
        .replace(/[\\\]]/g, '\\$&');
      source += `[${body}]`;
      i = close;
    } else if (char === '{' && glob.includes('}', i)) {
      source += '(?:';
      depth++;
    } else if (char === '}' && depth > 0) {
      source += ')';
      depth--;
    } else if (char === ',' && depth > 0) source += '|';
    else source += (char === '\\' ? (glob[++i] ?? '\\') : char).replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  }
  try {
    const expression = new RegExp(`^${source}${')'.repeat(depth)}$`, 'isu');
    return (name) => expression.test(name);
  } catch {
    // A class such as [z-a] is no pattern: it can only mean itself.
    return (name) => name.toLowerCase() === glob.toLowerCase();
  }
}
