/**
 * The compiled file that a thread runs, by its path below `src/` without suffix; the one place that knows
 * where such files lie. Undefined where the code itself runs as TypeScript (tests): Node cannot load that
 * in a thread, and the caller does the work in its own.
 */
export function threadFile(module: string): URL | undefined {
  return import.meta.url.endsWith('.ts') ? undefined : new URL(`./${module}.js`, import.meta.url);
}

/**
 * Copies `bytes` into `room` from its start, and returns the copy: for memory that threads share. By Buffer's
 * `fill`, because `set` and `copy` go byte by byte where one side is shared and both are not aligned alike.
 */
export function copyShared(room: Buffer, bytes: Uint8Array): Buffer {
  if (bytes.length > 0) room.fill(bytes, 0, bytes.length);
  return room.subarray(0, bytes.length);
}
