import type { TargetRequest } from './types.ts';

/**
 * What a swap leaves beside a target. Only what carries dguard's own mark is ever looked at or removed, and
 * all of it passes over everything else.
 */
export interface TargetSwaps<Options = unknown> {
  /**
   * The real places that a restore of this target replaces, by whatever names they go: each is locked while something
   * is restored, undone or recovered there. Absent: the datasource's name stands for it.
   */
  places?(target: TargetRequest<Options>): Promise<readonly string[]>;
  /**
   * Finishes or reverts swaps of this target that were interrupted, by their journal, so that it is old or
   * new. Cheap where there is none, and safe to repeat. Returns what was done, in words, and what an interrupted
   * restore to another target of the same server left. `isLook`: before a backup of what is there. Where the place of the
   * target cannot be seen, a look finds nothing, as the backup's own error says more; otherwise that is an error.
   */
  recover(target: TargetRequest<Options>, isLook?: boolean): Promise<readonly string[]>;
  /** The undo copies of this target, newest first. */
  undoCopies(target: TargetRequest<Options>): Promise<readonly UndoCopy[]>;
  /** Puts the newest undo copy back by a swap of the same kind; what it replaces becomes an undo copy. */
  undo(target: TargetRequest<Options>): Promise<UndoOutcome>;
  /** Removes undo copies beyond the newest `keep`. Returns what was removed. */
  dropUndo(target: TargetRequest<Options>, keep: number): Promise<readonly UndoCopy[]>;
  /** Removes scratch places of earlier test restores that were killed. Returns what was removed, in words. */
  dropScratch?(target: TargetRequest<Options>): Promise<readonly string[]>;
}

/** What a restore replaced, kept beside the target and marked as dguard's own. */
export interface UndoCopy {
  /** A path, or a database name. */
  readonly name: string;
  /** The backup whose restore replaced it. */
  readonly backupId: string;
  readonly createdAt: Date;
  readonly sizeBytes?: number;
}

export interface UndoOutcome {
  readonly target: string;
  /** The undo copy that is back in place. */
  readonly restored: UndoCopy;
  /** Where the data that it replaced is kept. */
  readonly undo?: string;
}
