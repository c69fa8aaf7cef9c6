import type { SourceRoot } from '../types.ts';

/** Where one part of a backup goes. Byte strings. */
export interface Target {
  /** The path in the backup that stands for it; empty for the root. */
  readonly entry: string;
  readonly kind: SourceRoot['kind'];
  /** Absolute, free of links where it exists. */
  readonly path: string;
  /** `occupied`: a folder with something in it, or anything but a folder. */
  readonly state: 'absent' | 'empty' | 'occupied';
  /**
   * `swap`: it is replaced as a whole; `entries`: so is all that is in it, as it cannot itself be moved;
   * `merge`: what the backup holds replaces its counterpart, the rest stays.
   */
  readonly mode: 'swap' | 'entries' | 'merge';
  /** Where the marked folder for it is. */
  readonly place: 'beside' | 'inside';
  /** Why a restore of a whole source merges: something there that backups leave out. */
  readonly leftOut?: string;
}
