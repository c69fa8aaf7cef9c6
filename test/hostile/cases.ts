import type { Recipe } from './forge.ts';

/** What dguard does with a hostile backup. */
export interface HostileCase {
  readonly recipe: (id: string, beside: string) => Recipe;
  /**
   * `refused`: `verify` and `restore` refuse it (corrupt, exit 4). `verify-refuses`: what it lies about no restore
   * needs. `harmless`: it is restored, and what is hostile in it has no effect.
   */
  readonly outcome: 'refused' | 'verify-refuses' | 'harmless';
  /** What the message of the refusal says. */
  readonly says?: RegExp;
  /** Its manifest alone is refused: `list` shows it as damaged. */
  readonly damaged?: true;
  /** Another backup that lies beside it: its id and the case's. */
  readonly beside?: (id: string, own: string) => Recipe;
}

export type Cases = Readonly<Record<string, HostileCase>>;

export const refused = (recipe: (id: string) => Recipe, says?: RegExp): HostileCase => ({
  recipe,
  outcome: 'refused',
  ...(says ? { says } : {}),
});

export const damaged = (recipe: Recipe, says?: RegExp): HostileCase => ({
  ...refused(() => recipe, says),
  damaged: true,
});
