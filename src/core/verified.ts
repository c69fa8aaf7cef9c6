import type { Storage, StoredObject } from '../storages/types.ts';
import { readMarks } from './marks.ts';

/** The levels of a verify. Each proves what those before it prove, and more. */
export const VERIFY_LEVELS = ['exists', 'checksum', 'content', 'restore'] as const;
export type VerifyLevel = (typeof VERIFY_LEVELS)[number];

/** What a verify looks at, and the level that begins to. */
const CHECK_LEVELS = {
  exists: 'exists',
  integrity: 'checksum',
  content: 'content',
  completeness: 'content',
  restore: 'restore',
} as const satisfies Readonly<Record<string, VerifyLevel>>;
export type CheckName = keyof typeof CHECK_LEVELS;

/** A stored result of a verify of one copy. */
export interface VerifyResult {
  readonly level: string;
  readonly result: 'pass' | 'fail';
  readonly checked_at: string;
}

/** What the verifies of one copy have shown so far. */
export interface Verified {
  /** A failure, if no later verify passed the check that failed; otherwise the newest result. */
  readonly verified: VerifyResult | undefined;
  /** The newest pass that proves the content; undefined where there is a failure. */
  readonly proof: VerifyResult | undefined;
}

/**
 * Reads the results that lie beside a backup. A look at less takes back neither a failure nor a proof: where the
 * content has rotted `verify --level exists` may well pass.
 */
export async function readVerified(
  storage: Storage,
  objects: readonly StoredObject[],
  manifestBytes: Uint8Array,
  signal: AbortSignal,
): Promise<Verified> {
  let newest: VerifyResult | undefined;
  let proof: VerifyResult | undefined;
  /** The highest level that passed so far; all of these are newer than what comes next. */
  let passed = -1;
  for await (const found of readMarks(storage, objects, 'verified', manifestBytes, resultOf, signal)) {
    const { weight, ...result } = found;
    newest ??= result;
    if (result.result === 'fail') {
      if (weight > passed) return { verified: result, proof: undefined };
      continue;
    }
    passed = Math.max(passed, weight);
    if (weight >= weightOf('content', 0)) proof ??= result;
    if (passed === VERIFY_LEVELS.length - 1) break; // nothing older weighs more
  }
  return { verified: newest, proof };
}

/** How much a result says: what passed up to there, or the level whose check failed. */
function weightOf(level: string, unknown: number): number {
  const at = (VERIFY_LEVELS as readonly string[]).indexOf(level);
  return at >= 0 ? at : unknown;
}

function resultOf(
  value: Readonly<Record<string, unknown>>,
): (VerifyResult & { readonly weight: number }) | undefined {
  const { level, result, made_at, check } = value;
  if (typeof level !== 'string' || typeof made_at !== 'string') return undefined;
  // Levels and checks of a later dguard: such a failure weighs as much as a restore's, such a pass nothing.
  if (result === 'pass') return { level, result, checked_at: made_at, weight: weightOf(level, -1) };
  if (result !== 'fail') return undefined;
  const failedAt = typeof check === 'string' ? (CHECK_LEVELS as Record<string, string>)[check] : undefined;
  return {
    level,
    result,
    checked_at: made_at,
    weight: weightOf(failedAt ?? level, VERIFY_LEVELS.length - 1),
  };
}
