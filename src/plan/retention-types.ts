import type { BackupType } from '../config/types/jobs.ts';

/** A backup's state as listing computes it: the manifest's status, or what overrides it. */
export type PolicyState =
  | 'completed'
  | 'partial'
  | 'suspect'
  | 'failed'
  | 'broken'
  | 'damaged'
  | 'verify failed';

/**
 * One backup of one group (namespace, job, datasource, database) at one destination, as retention sees
 * it. A group is all that is decided together: what is in another group is never counted, kept or needed.
 */
export interface PolicyBackup {
  /** Unique in the list. */
  readonly id: string;
  /** The snapshot's moment: order, periods and age come from it alone. */
  readonly createdAt: Date;
  readonly state: PolicyState;
  readonly type: BackupType;
  /** Completed or accepted, intact, not refuted by its newest verify, and so is all that it refers to. */
  readonly good: boolean;
  /** By `pin`, or because it is a checkpoint that was not unpinned. */
  readonly pinned: boolean;
  /** Of a snapshot; undefined: it stays until it is deleted by name. */
  readonly expires?: Date | undefined;
  readonly tags: readonly string[];
  /** What was backed up; undefined: whatever the others are of. */
  readonly source?: string | undefined;
  /** Ids of the backups whose blocks it needs; ids that are not in the list are passed over. */
  readonly references: readonly string[];
  /** What it occupies at this destination. */
  readonly sizeBytes: number;
}

/** What becomes of one backup, and every reason for it, as a person reads them. */
export interface RetentionDecision {
  readonly id: string;
  readonly keep: boolean;
  /** Never empty. */
  readonly reasons: readonly string[];
  /**
   * What keeps it: a `rule` of the policy, which a cap may overrule; a `floor`, which nothing does; or
   * only the `need` of another that stays. Undefined for what is removed.
   */
  readonly hold?: 'rule' | 'floor' | 'need' | undefined;
}

export interface RetentionPlan {
  /** One for each backup, newest first. */
  readonly decisions: readonly RetentionDecision[];
  /** The caps that could not be met without going below the floors, and why; usually empty. */
  readonly unmet: readonly string[];
}
