import { formatDuration } from '../plan/duration.ts';
import { Secret } from './secret.ts';
import type { Config } from './types.ts';

/**
 * The effective configuration as plain data for `config show`: secrets are `[redacted]`, durations are
 * written as in the file, names are keys only. Includes are merged, defaults filled in.
 */
export function showConfig(config: Config): object {
  return show(config, 0) as object;
}

function show(value: unknown, depth: number): unknown {
  if (value instanceof Secret) return value.toString();
  if (Array.isArray(value)) return value.map((item) => show(item, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  const shown: Record<string, unknown> = {};
  const entry = value as Record<string, unknown>;
  for (const [key, item] of Object.entries(entry)) {
    // An entry of a section carries its own name, which is its key already; in lists the name is all there is.
    if (key === 'name' && depth === NAMED_DEPTH) continue;
    if (key === 'all_databases' || (key === 'namespace' && item === '')) continue;
    if (key === 'database' && entry['all_databases'] === false && (item as []).length === 0) continue;
    if (key === 'database' && entry['all_databases'] === true) shown[key] = 'all';
    else if (key === 'bandwidth_limit_bytes') shown['bandwidth_limit'] = `${item}B`;
    else if (key.endsWith('_ms') && typeof item === 'number') shown[key.slice(0, -3)] = formatDuration(item);
    else shown[key] = show(item, depth + 1);
  }
  return shown;
}

/** Root, section, entry. */
const NAMED_DEPTH = 2;
