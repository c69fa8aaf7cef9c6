import { workerData } from 'node:worker_threads';
import { errnoOf, errorText } from '../../../errors.ts';
import { loadXattrs } from '../system/xattrs.ts';
import { closeFiles, createRunMaker, type OpenMessage } from './opened-runs.ts';
import { walkOpening } from './walk.ts';
import { ENDED, OPENED, type OpenThreadData, RUNS_AHEAD, STOP, TAKEN, WAIT_MS } from './walk-messages.ts';

/** Runs in a thread of its own: walks, and opens files for `read-thread` to read. See `walker.ts`. */

const { request, control, runs, runFiles } = workerData as OpenThreadData;
const counters = new Int32Array(control);
const run = createRunMaker(runFiles);
let sent = 0;

const xattrs = await loadXattrs();
try {
  if (open()) send({ kind: 'end' });
} catch (error) {
  const errno = errnoOf(error);
  send({ kind: 'error', message: errorText(error), ...(errno === undefined ? {} : { errno }) });
} finally {
  closeFiles(run.take());
}
Atomics.store(counters, ENDED, 1);

/** False: it was stopped. */
function open(): boolean {
  const warn = (warning: Parameters<Parameters<typeof walkOpening>[1]['warn']>[0]) => run.add({ warning });
  for (const item of walkOpening(request, { xattrs, warn, freeFiles })) {
    if ('fd' in item) run.addFile(item);
    else run.add({ entry: item.entry });
    if (run.isFull && !sendRun()) return false;
  }
  return sendRun();
}

function sendRun(): boolean {
  if (run.isEmpty) return true;
  if (!untilUnderWay(RUNS_AHEAD - 1)) return false;
  send({ kind: 'run', run: run.take() });
  return true;
}

/** Whatever is open by this thread is read, and closed. */
function freeFiles(): void {
  if (sendRun()) untilUnderWay(0);
}

/** Waits until so many runs, and no more, were sent and are not yet read; false: stop. */
function untilUnderWay(most: number): boolean {
  for (;;) {
    if (Atomics.load(counters, STOP) !== 0) return false;
    const taken = Atomics.load(counters, TAKEN);
    if (sent - taken <= most) return true;
    Atomics.wait(counters, TAKEN, taken, WAIT_MS);
  }
}

function send(message: OpenMessage): void {
  sent++;
  runs.postMessage(message);
  Atomics.add(counters, OPENED, 1);
  Atomics.notify(counters, OPENED);
}
