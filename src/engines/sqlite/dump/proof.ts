import { Worker } from 'node:worker_threads';
import { abortError } from '../../../errors.ts';
import { threadFile } from '../../../threads.ts';
import { checkDatabase, type Examined, examine, type Findings } from '../database/check.ts';
import { closeQuietly, openDatabase } from '../database/driver.ts';
import { foreignKeyDoubts } from '../database/foreign-keys.ts';

/** What is known of a copy once all of it was looked at. */
export interface Proof {
  readonly findings: Findings;
  readonly foreignKeyDoubts: readonly string[];
  /** Undefined where the copy is damaged. */
  readonly examined: Examined | undefined;
}

export type ProofMessage =
  | { readonly proof: Proof }
  | { readonly message: string; readonly code: string | undefined };

/** Checks a copy, which nobody writes to, and counts what it holds. Errors: as SQLite throws them. */
export async function proveFile(path: string): Promise<Proof> {
  const database = await openDatabase(path, { readonly: false });
  try {
    database.pragma('query_only = ON');
    const findings = checkDatabase(database, 'quick_check');
    if (findings.damage.length > 0) return { findings, foreignKeyDoubts: [], examined: undefined };
    return { findings, foreignKeyDoubts: foreignKeyDoubts(database), examined: examine(database) };
  } finally {
    closeQuietly(database);
  }
}

export interface RunningProof {
  readonly result: Promise<Proof>;
  /** Idempotent. Does not wait: SQLite cannot be interrupted in the middle of a check. */
  stop(): void;
}

/**
 * The same in a thread of its own, while this one reads and compresses the copy. Undefined where there can
 * be no thread: then it has to be done before.
 */
export function proveBeside(path: string, signal: AbortSignal): RunningProof | undefined {
  const file = threadFile('engines/sqlite/dump/proof-thread');
  return file && proveInThread(path, file, signal);
}

/** @param file the compiled `proof-thread` */
export function proveInThread(path: string, file: URL, signal: AbortSignal): RunningProof {
  const thread = new Worker(file, { workerData: path });
  const stop = () => {
    signal.removeEventListener('abort', stop);
    void thread.terminate();
  };
  signal.addEventListener('abort', stop, { once: true });
  const result = new Promise<Proof>((resolve, reject) => {
    thread.on('message', (message: ProofMessage) => {
      if ('proof' in message) resolve(message.proof);
      else reject(Object.assign(new Error(message.message), { code: message.code }));
    });
    thread.on('error', reject);
    thread.on('exit', () => {
      reject(signal.aborted ? abortError(signal) : new Error('the check of the copy broke off'));
    });
  });
  // Looked at when the copy was read, or not at all when the dump ended otherwise.
  result.catch(() => {});
  return { result, stop };
}
