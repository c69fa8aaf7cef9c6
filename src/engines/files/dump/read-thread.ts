import { closeSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { type ContentRoom, createPacker, type Packer } from '../../../archive/packed.ts';
import { errnoOf, errorText } from '../../../errors.ts';
import type { LargeContent, TreeItem } from '../../member.ts';
import type { Warning } from '../../types.ts';
import { closeFiles, itemsOf, type OpenMessage } from './opened-runs.ts';
import type { FileStat } from './records.ts';
import { createTakeFile } from './walk.ts';
import {
  CLOCK,
  DONE,
  OPENED,
  type OpenFile,
  OVER,
  type ReadThreadData,
  RUN_BYTES,
  RUN_ENTRIES,
  roomOf,
  SLOTS,
  STOP,
  TAKEN,
  WAIT_MS,
  type WalkMessage,
} from './walk-messages.ts';

/** Runs in a thread of its own: reads and packs the small files that `open-thread` opened. See `walker.ts`. */

type Unsent<T> = T extends unknown ? Omit<T, 'warnings'> : never;

const { control, runs, slots } = workerData as ReadThreadData;
const counters = new Int32Array(control);
const clock = new Float64Array(control);
let sent = 0;
let received = 0;
let warnings: Warning[] = [];

try {
  read();
  send({ kind: 'end' });
} catch (error) {
  const errno = errnoOf(error);
  send({ kind: 'error', message: errorText(error), ...(errno === undefined ? {} : { errno }) });
}
closeRest();

function read(): void {
  let packer: Packer | undefined;
  const freshPacker = () => (acquire() ? createPacker(roomOf(slots[sent % SLOTS]!)) : undefined);
  const contentRoom = () => {
    packer ??= freshPacker();
    return packer?.contentRoom();
  };
  for (const { entry, content } of openedItems(contentRoom)) {
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

/** What was opened, in order, made into items; it ends early where it is to stop. */
function* openedItems(contentRoom: () => ContentRoom | undefined): Generator<TreeItem, void, undefined> {
  const warn = (warning: Warning) => void warnings.push(warning);
  const nowMs = () => clock[CLOCK]!;
  const takeFile = createTakeFile({ nowMs, openLarge: handOver, contentRoom, warn });
  for (;;) {
    const message = nextOpened();
    if (message === undefined || message.kind === 'end') return;
    if (message.kind === 'error') throw Object.assign(new Error(message.message), { code: message.errno });
    yield* itemsOf(message.run, takeFile, warn);
    Atomics.add(counters, TAKEN, 1);
    Atomics.notify(counters, TAKEN);
  }
}

/** Undefined: stop. */
function nextOpened(): OpenMessage | undefined {
  for (;;) {
    if (Atomics.load(counters, STOP) !== 0) return undefined;
    const got = receiveMessageOnPort(runs);
    if (got !== undefined) {
      received++;
      return got.message as OpenMessage;
    }
    Atomics.wait(counters, OPENED, received, WAIT_MS);
  }
}

/** Closes what was opened and is not read any more, once nothing is opened any more. */
function closeRest(): void {
  while (Atomics.load(counters, OVER) === 0) Atomics.wait(counters, OVER, 0, WAIT_MS);
  for (;;) {
    const got = receiveMessageOnPort(runs);
    if (got === undefined) return;
    const message = got.message as OpenMessage;
    if (message.kind === 'run') closeFiles(message.run);
  }
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
function handOver(fd: number, path: string, before: FileStat, unsure: boolean): HandedOver {
  const { size, mtimeNs, ctimeNs } = before;
  return {
    file: { fd, path, before: { size, mtimeNs, ctimeNs }, unsure },
    sizeBytes: Number(size),
    read: () => 0,
    finish: () => ({ unsure }),
  };
}
