import { parentPort, workerData } from 'node:worker_threads';
import { errorText } from '../../../errors.ts';
import { type ProofMessage, proveFile } from './proof.ts';

/** Runs in a thread of its own: see `proveBeside`. */

const send = (message: ProofMessage) => parentPort!.postMessage(message);
try {
  send({ proof: await proveFile(workerData as string) });
} catch (error) {
  // SQLite's own codes (SQLITE_CORRUPT …) say more than the text.
  const code = (error as { code?: unknown } | null)?.code;
  send({ message: errorText(error), code: typeof code === 'string' ? code : undefined });
}
