import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import type { Outcome } from '../cli/support.ts';

/** What a run that fails owes: its exit code, a clear message, a manifest that says so, and nothing else. */
export interface FailedRun {
  readonly code: number;
  readonly says: RegExp;
  /** What is nowhere to be read. */
  readonly secret: string;
}

/** Notes all that lies at a local destination; to be called before a run. */
export function watchStore(store: string, tempDir: string) {
  const before = stored(store);
  return {
    /** The only thing that is new is a failed manifest, which is then taken away with its folder. */
    expectFailed(outcome: Outcome, { code, says, secret }: FailedRun): void {
      const said = outcome.stderr + outcome.stdout;
      expect(outcome.code, said).toBe(code);
      expect(outcome.stderr).toMatch(says);
      expect(outcome.stderr).toMatch(/next: \S/);
      expect(said).not.toContain(secret);
      expect(said).not.toMatch(/^\s+at .*\(/m);
      const after = stored(store);
      for (const [path, was] of before) expect(after.get(path), path).toBe(was);
      // The lease of a run stays until prune sweeps it.
      const added = [...after.keys()].filter((path) => !before.has(path) && !/lease-\d+\.json$/.test(path));
      expect(added, added.join(' ')).toHaveLength(1);
      const text = readFileSync(added[0]!, 'utf8');
      expect(JSON.parse(text)).toMatchObject({ status: 'failed' });
      expect(text).toMatch(says);
      expect(text).not.toContain(secret);
      expect(readdirSync(tempDir)).toEqual([]);
      rmSync(dirname(added[0]!), { recursive: true });
    },
  };
}

/** Every file, with its size and time. */
function stored(store: string): Map<string, string> {
  const files = readdirSync(store, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      const { size, mtimeMs } = statSync(path);
      return [path, `${size} ${mtimeMs}`];
    }),
  );
}
