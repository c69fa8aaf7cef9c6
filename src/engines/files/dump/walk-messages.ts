import type { MessagePort } from 'node:worker_threads';
import type { EntryRecord } from '../../../archive/entry.ts';
import type { PackedRun, PackerRoom } from '../../../archive/packed.ts';
import type { Warning } from '../../types.ts';
import type { FileStamp } from './large-content.ts';
import type { WalkRequest } from './walk.ts';

/** Between the threads that open and read small files and the one that archives them. */

/** Messages under way at once; each has a buffer of its own. */
export const SLOTS = 3;
/** The tar of a run: it is sent once it holds `RUN_BYTES`, and one more small file has room. */
const SLOT_BYTES = 1.75 * 1024 * 1024;
export const RUN_BYTES = 512 * 1024;
export const RUN_ENTRIES = 1024;
/** Room for the heads and the paths of a run, behind the tar. */
const HEADS_BYTES = 512 * 1024;
const PATHS_BYTES = 128 * 1024;
export const ROOM_BYTES = SLOT_BYTES + HEADS_BYTES + PATHS_BYTES;

/** The parts of a slot's buffer. */
export function roomOf(slot: SharedArrayBuffer): PackerRoom {
  return {
    tar: new Uint8Array(slot, 0, SLOT_BYTES),
    heads: new Uint8Array(slot, SLOT_BYTES, HEADS_BYTES),
    paths: new Uint8Array(slot, SLOT_BYTES + HEADS_BYTES, PATHS_BYTES),
  };
}

/** Runs of opened files that are sent and not yet read. One more is gathered meanwhile. */
export const RUNS_AHEAD = 2;

/** `control` as 32-bit integers: how many messages were done with, and whether to stop. */
export const DONE = 0;
export const STOP = 1;
/** `control` as doubles: the clock of the main thread in milliseconds, not ahead of the time. */
export const CLOCK = 1;
/** Again integers: messages that the opening thread sent, and runs of them that were read. */
export const OPENED = 4;
export const TAKEN = 5;
/** The opening thread came to its end; it is over, and sends nothing more. */
export const ENDED = 6;
export const OVER = 7;
export const CONTROL_BYTES = 32;
/** A lost wake-up costs no more than this. */
export const WAIT_MS = 200;

export interface OpenThreadData {
  readonly request: WalkRequest;
  readonly control: SharedArrayBuffer;
  /** Takes an `OpenMessage`. */
  readonly runs: MessagePort;
  /** Files of a run. */
  readonly runFiles: number;
}

export interface ReadThreadData {
  readonly control: SharedArrayBuffer;
  /** Gives the `OpenMessage`s. */
  readonly runs: MessagePort;
  readonly slots: readonly SharedArrayBuffer[];
}

export type WalkMessage = { readonly warnings: readonly Warning[] } & (
  | {
      readonly kind: 'run';
      readonly slot: number;
      /** How much of each part of the slot is used. */
      readonly tarBytes: number;
      readonly headsBytes: number;
      readonly pathsBytes: number;
      readonly run: Omit<PackedRun, keyof PackerRoom>;
    }
  | { readonly kind: 'item'; readonly entry: EntryRecord; readonly content?: Uint8Array }
  | { readonly kind: 'large'; readonly entry: EntryRecord; readonly file: OpenFile }
  | { readonly kind: 'end' }
  | { readonly kind: 'error'; readonly message: string; readonly errno?: string }
);

/** A large file that was opened, to be read and closed by whom it is handed to. */
export interface OpenFile {
  readonly fd: number;
  readonly path: string;
  readonly before: FileStamp;
  readonly unsure: boolean;
}
