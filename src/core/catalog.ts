import type { DguardError } from '../errors.ts';
import type { Manifest } from '../manifest/types.ts';
import type { Storage, StoredObject } from '../storages/types.ts';
import type { Lease } from './lease.ts';
import type { VerifyResult } from './verified.ts';

/** A destination that was opened. */
export interface Destination {
  readonly name: string;
  readonly storage: Storage;
  readonly pathTemplate: string;
  /** It may be offline: that it cannot be read is no failure. */
  readonly optional?: boolean;
}

export type BackupState = Manifest['status'] | 'broken' | 'damaged' | 'verify failed';

/** One copy of one backup as listing finds it. */
export interface CatalogEntry {
  readonly destination: Destination;
  readonly folder: string;
  /** Undefined where the manifest cannot be read (`damaged`). */
  readonly manifest: Manifest | undefined;
  readonly manifestBytes: Uint8Array | undefined;
  readonly error: DguardError | undefined;
  readonly objects: readonly StoredObject[];
  /** Names in the folder that no backup has there: reported, never touched. */
  readonly foreign: readonly string[];
  readonly state: BackupState;
  /** Why it is broken or damaged. */
  readonly problems: readonly string[];
  /** What fails, or the newest result. */
  readonly verified: VerifyResult | undefined;
  /** The newest pass that proves the content, unless something failed after it. */
  readonly proof: VerifyResult | undefined;
  /** A suspect one that a person has accepted. */
  readonly accepted: boolean;
  /** A checkpoint, or pinned by name, and not unpinned since. */
  readonly pinned: boolean;
  /** It carries the mark of a prune or delete that has not ended, or was interrupted. */
  readonly deleting: boolean;
  /**
   * What the storage did not give: its manifest, which is then `damaged`; or a mark, and it is judged without it, but
   * nothing may be deleted here, as it may be a pin or a failed proof.
   */
  readonly unread?: DguardError;
  /** All its bytes are there as far as listing and verify know, and those of all that it refers to. */
  readonly intact: boolean;
  /** Intact, and completed or accepted. */
  readonly good: boolean;
}

/** A folder without a manifest in which a lease lies: a run under way, or what one has left. */
export interface UnfinishedFolder {
  readonly destination: Destination;
  readonly folder: string;
  readonly objects: readonly StoredObject[];
  /** Undefined where no lease can be understood, or none names this very folder: never ours to sweep. */
  readonly lease: Lease | undefined;
  /** Of its newest object, by the storage's own clock. */
  readonly newestAt: Date;
}

/** All that is dguard's at one destination. */
export interface Catalog {
  readonly destination: Destination;
  /** Newest first. */
  readonly entries: readonly CatalogEntry[];
  readonly unfinished: readonly UnfinishedFolder[];
}

/** Newest first; what cannot be read comes last. */
export function newestFirst(a: CatalogEntry, b: CatalogEntry): number {
  const left = a.manifest?.created_at ?? '';
  const right = b.manifest?.created_at ?? '';
  if (left === right) return a.folder < b.folder ? 1 : a.folder > b.folder ? -1 : 0;
  return left < right ? 1 : -1;
}
