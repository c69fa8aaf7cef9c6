import type { GateConfig } from '../config/types/jobs.ts';

/** What the content gate looks at; undefined: the engine does not count it. */
export interface GateFacts {
  readonly bytes: number;
  readonly files?: number | undefined;
  readonly tables?: number | undefined;
  readonly rows?: number | undefined;
}

/**
 * Why a backup is to be doubted when it is measured against the last good one, in words; empty: no doubt.
 * A first backup is never doubted.
 */
export function judgeContent(
  now: GateFacts,
  lastGood: GateFacts | undefined,
  gate: GateConfig,
): readonly string[] {
  if (!gate.enabled || lastGood === undefined) return [];
  const shares: readonly [keyof GateFacts, number][] = [
    ['bytes', gate.min_size_percent],
    ['files', gate.min_files_percent],
    ['tables', 0],
    ['rows', gate.min_rows_percent],
  ];
  const doubts: string[] = [];
  for (const [what, minPercent] of shares) {
    const before = lastGood[what];
    const after = now[what];
    if (before === undefined || after === undefined || before === 0) continue;
    if (after === 0) {
      if (!gate.allow_empty) doubts.push(`no ${what}, where the last good backup had ${before}`);
    } else if (after * 100 < before * minPercent) {
      const percent = Math.floor((after * 100) / before);
      doubts.push(`${after} ${what}, only ${percent} % of the ${before} of the last good backup`);
    }
  }
  return doubts;
}

/**
 * Whether so many runs alike in a row end the doubt: `suspects` are the suspect runs since the last good
 * one, newest first. A run is like another when it would not be doubted against it, nor the other against it.
 */
export function endsDoubt(now: GateFacts, suspects: readonly GateFacts[], gate: GateConfig): boolean {
  if (gate.accept_after === undefined) return false;
  let alike = 1;
  for (const earlier of suspects) {
    if (judgeContent(now, earlier, gate).length > 0 || judgeContent(earlier, now, gate).length > 0) break;
    alike++;
  }
  return alike >= gate.accept_after;
}
