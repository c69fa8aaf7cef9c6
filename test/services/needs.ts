import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe } from 'vitest';

/**
 * A suite that needs commands of the machine. Where one is missing, its tests are skipped, and their names carry the
 * reason into the summary of the run.
 */
export function describeWithCommands(commands: string[], name: string, suite: () => void): void {
  const missing = missingCommands(commands);
  if (missing.length === 0) describe(name, suite);
  else describe.skip(`${name} [needs ${missing.join(', ')}: npm run services]`, suite);
}

/** Those of the commands that are not in PATH. */
export function missingCommands(commands: readonly string[]): string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return commands.filter((command) => !folders.some((folder) => isExecutable(join(folder, command))));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
