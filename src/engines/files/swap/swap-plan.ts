import { closeSync, constants, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { fsPath, joinPath } from '../../fs-paths.ts';
import type { FolderState } from './folder-state.ts';

/**
 * What a swap does to one target, written down before anything moves, one JSON line for each step. No
 * step's path lies inside another's moved one; paths are byte strings relative to the target, empty for itself.
 */
export type SwapStep =
  /** What is at the path (`old`) is moved away, what is to be there (`new`) is moved in. */
  | {
      readonly do: 'move';
      readonly path: string;
      readonly old: boolean;
      readonly new: boolean;
      /** Modes of folders that their owner may not write to: they cannot be moved as they are. */
      readonly oldMode?: number;
      readonly newMode?: number;
    }
  /** A folder that stays, with what it was, and what it is to be (absent: what the moves make of it). */
  | {
      readonly do: 'folder';
      readonly path: string;
      readonly before: FolderState;
      readonly after?: FolderState;
    };

const CHUNK_BYTES = 256 * 1024;

/** Writes a plan, durable on return. Returns how many steps move something away, and how many there are. */
export function writePlan(
  folder: string,
  name: string,
  steps: Iterable<SwapStep>,
): { replaced: number; steps: number } {
  const flags = constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | constants.O_NOFOLLOW;
  const fd = openSync(fsPath(joinPath(folder, name)), flags, 0o600);
  let text = '';
  let replaced = 0;
  let count = 0;
  const flush = () => {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    text = '';
  };
  try {
    for (const step of steps) {
      text += `${JSON.stringify(step)}\n`;
      count += 1;
      if (step.do === 'move' && step.old) replaced += 1;
      if (text.length >= CHUNK_BYTES) flush();
    }
    flush();
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return { replaced, steps: count };
}

/** The steps of a plan in their order, in constant memory. */
export function* readPlan(folder: string, name: string): Generator<SwapStep> {
  const fd = openSync(fsPath(joinPath(folder, name)), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    const decoder = new StringDecoder('utf8');
    let rest = '';
    for (;;) {
      const count = readSync(fd, chunk, 0, chunk.length, null);
      if (count === 0) return;
      const lines = (rest + decoder.write(chunk.subarray(0, count))).split('\n');
      rest = lines.pop()!;
      for (const line of lines) yield JSON.parse(line) as SwapStep;
    }
  } finally {
    closeSync(fd);
  }
}
