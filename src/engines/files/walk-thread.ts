import { type BigIntStats, closeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { createPacker, type Packer } from '../../archive/packed.ts';
import { errnoOf, errorText } from '../../errors.ts';
import type { LargeContent } from '../member.ts';
import type { Warning } from '../types.ts';
import { walk } from './walk.ts';
import {
  CLOCK,
  DONE,
  type OpenFile,
  RUN_BYTES,
  RUN_ENTRIES,
  roomOf,
  SLOTS,
  STOP,
  type WalkMessage,
  type WalkThreadData,
} from './walk-messages.ts';
import { loadXattrs } from './xattrs.ts';

/** Runs in a thread of its own: walks, reads and packs small files, opens large ones. See `walker.ts`. */

/** A lost wake-up costs no more than this. */
const WAIT_MS = 200;

type Unsent<T> = T extends unknown ? Omit<T, 'warnings'> : never;

const { request, control, slots } = workerData as WalkThreadData;
const counters = new Int32Array(control);
const clock = new Float64Array(control);
let sent = 0;
let warnings: Warning[] = [];

const xattrs = await loadXattrs();
try {
  read();
  send({ kind: 'end' });
} catch (error) {
  const errno = errnoOf(error);
  send({ kind: 'error', message: errorText(error), ...(errno === undefined ? {} : { errno }) });
}

function read(): void {
  let packer: Packer | undefined;
  const freshPacker = () => (acquire() ? createPacker(roomOf(slots[sent % SLOTS]!)) : undefined);
  const contentRoom = () => {
    packer ??= freshPacker();
    return packer?.contentRoom();
  };
  for (const { entry, content } of walk(request, {
    xattrs,
    nowMs: () => clock[CLOCK]!,
    openLarge: handOver,
    contentRoom,
    warn: (warning) => warnings.push(warning),
  })) {
    const file = content !== undefined && 'file' in content ? (content as HandedOver).file : undefined;
    if (file !== undefined) {
      packer = sendRun(packer);
      if (!acquire()) {
        closeSync(file.fd);
        return;
      }
      send({ kind: 'large', entry, file });
      continue;
    }
    const bytes = content as Uint8Array | undefined;
    if (packer?.add(entry, bytes) !== true) {
      sendRun(packer);
      packer = freshPacker();
      if (packer === undefined) return;
      if (!packer.add(entry, bytes)) {
        packer = undefined;
        send({ kind: 'item', entry, ...(bytes === undefined ? {} : { content: Uint8Array.from(bytes) }) });
        continue;
      }
    }
    if (packer.usedBytes >= RUN_BYTES || packer.count >= RUN_ENTRIES) packer = sendRun(packer);
  }
  sendRun(packer);
}

/** Waits until there is room for one more message, and thereby its buffer is free; false: stop. */
function acquire(): boolean {
  for (;;) {
    if (Atomics.load(counters, STOP) !== 0) return false;
    const done = Atomics.load(counters, DONE);
    if (sent - done < SLOTS) return true;
    Atomics.wait(counters, DONE, done, WAIT_MS);
  }
}

function sendRun(packer: Packer | undefined): undefined {
  if (packer === undefined || packer.count === 0) return;
  const { tar, heads, paths, ...run } = packer.run();
  const used = { tarBytes: tar.length, headsBytes: heads.length, pathsBytes: paths.length };
  send({ kind: 'run', slot: sent % SLOTS, ...used, run });
}

function send(message: Unsent<WalkMessage>): void {
  sent++;
  parentPort!.postMessage({ ...message, warnings });
  warnings = [];
}

interface HandedOver extends LargeContent {
  readonly file: OpenFile;
}

/** The file's number is valid in every thread of the process. */
function handOver(fd: number, path: string, before: BigIntStats, unsure: boolean): HandedOver {
  const { size, mtimeNs, ctimeNs } = before;
  return {
    file: { fd, path, before: { size, mtimeNs, ctimeNs }, unsure },
    sizeBytes: Number(size),
    read: () => 0,
    finish: () => ({ unsure }),
  };
}
