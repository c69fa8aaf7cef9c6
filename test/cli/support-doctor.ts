import { expect } from 'vitest';
import { parseDocument } from './documents.ts';
import type { Workspace } from './support.ts';

export interface FindingJson {
  readonly severity: 'problem' | 'warning' | 'notice';
  readonly topic: string;
  readonly kind: string;
  readonly name: string;
  readonly subject: string | null;
  readonly message: string;
  readonly fix: {
    readonly by: string;
    readonly database: string | null;
    readonly lines: readonly string[];
  } | null;
}

/** Runs `doctor`: its findings about datasources, and its exit status. */
export async function doctor(
  place: Workspace,
  ...args: string[]
): Promise<{ code: number; findings: readonly FindingJson[]; text: string }> {
  const outcome = await place.run('doctor', ...args, '--json');
  const { findings } = parseDocument('doctor', outcome.stdout) as unknown as {
    findings: readonly FindingJson[];
  };
  return {
    code: outcome.code,
    findings: findings.filter(({ kind }) => kind === 'datasource'),
    text: outcome.stdout + outcome.stderr,
  };
}

/**
 * Does what `doctor` prints as SQL, and asks again, until nothing of it is left. Returns the statements that it
 * took. Fails where something is no better after it was mended.
 */
export async function followFixes(
  place: Workspace,
  name: string,
  execute: (sql: string, database: string | null) => Promise<unknown>,
): Promise<string[]> {
  const done: string[] = [];
  for (let round = 0; round < 5; round++) {
    const { findings } = await doctor(place, name);
    const fixes = findings.flatMap(({ severity, fix }) =>
      severity !== 'notice' && fix?.by === 'sql' ? [fix] : [],
    );
    if (fixes.length === 0) return done;
    for (const { lines, database } of fixes) {
      for (const line of lines) {
        expect(done, 'the same fix is printed again').not.toContain(line);
        await execute(line, database);
        done.push(line);
      }
    }
  }
  throw new Error(`not green after five rounds: ${done.join('; ')}`);
}
