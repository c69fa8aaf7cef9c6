/**
 * What a history of source identities says, oldest first.
 * - `one`: it was always the same source (or there is none yet);
 * - `changed`: a source was replaced by another, for good;
 * - `mixed`: one came back after another (A, B, A): two sources write under one name.
 */
export type IdentityHistory = 'one' | 'changed' | 'mixed';

export function judgeIdentities(identities: readonly string[]): IdentityHistory {
  const seen = new Set<string>();
  let current: string | undefined;
  let result: IdentityHistory = 'one';
  for (const identity of identities) {
    if (identity === current) continue;
    if (seen.has(identity)) return 'mixed';
    if (current !== undefined) result = 'changed';
    seen.add(identity);
    current = identity;
  }
  return result;
}
