import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Lets more garbage gather than V8 would: blocks lie outside of its heap, which stays small, so that it
 * collects after every 18 MB of them; that took an eighth of a backup's CPU time, a third of a verify's.
 * `growth`: by how many percent of what is alive garbage may grow; 100 costs no memory to speak of, 300
 * about 40 MB (for commands that read much and hold little).
 */
export function collectLessOften(growth: 100 | 300): void {
  setFlagsFromString(`--heap-growing-percent=${growth}`);
}

/** Of bytes that became garbage outside of the heap. V8 itself lets 64 MB of them gather, and more where it is busy. */
const COLLECT_BYTES = 24 * 1024 * 1024;

/** What is larger is copied by more hands (the driver, its socket), and a few of them at once are what is to be avoided. */
const LARGE_BYTES = 4 * 1024 * 1024;

/**
 * Told of bytes that were handed on, it collects garbage after so many: for work that makes several copies of what it
 * reads, each as large as a message or a document. A collection takes some ten milliseconds.
 */
export function createCollector(): (bytes: number) => void {
  collect ??= collection();
  let passed = 0;
  return (bytes) => {
    passed += bytes > LARGE_BYTES ? COLLECT_BYTES : bytes;
    if (passed < COLLECT_BYTES) return;
    passed = 0;
    collect?.();
  };
}

let collect: (() => void) | undefined;

function collection(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
