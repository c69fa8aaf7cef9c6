/**
 * The compiled file that a thread runs, by its path below `src/` without suffix; the one place that knows
 * where such files lie. Undefined where the code itself runs as TypeScript (tests): Node cannot load that
 * in a thread, and the caller does the work in its own.
 */
export function threadFile(module: string): URL | undefined {
  return import.meta.url.endsWith('.ts') ? undefined : new URL(`./${module}.js`, import.meta.url);
}
