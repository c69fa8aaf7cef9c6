import { isUtf8 } from 'node:buffer';
import { availableParallelism } from 'node:os';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import { ROWS_BEGIN } from '../dump/dump-stream.ts';
import { serverError, serverErrorNumber } from '../server/failures.ts';
import type { Server } from '../server/server.ts';
import type { Session } from '../server/session.ts';
import { retryDeadlocks } from './deadlocks.ts';

/** INSERT statements over several connections at a time, while the client stands still. */
export interface RowLoaders {
  /** Whether a statement can be sent here: the driver takes text, and one packet of the protocol, no larger than the server's. */
  takes(statement: Buffer): boolean;
  /** Waits for a free connection. Throws what an earlier statement failed with. */
  insert(statement: Buffer): Promise<void>;
  /** All of them are carried out. Throws what one failed with. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

const USUAL_CONNECTIONS = 4;
/** On each connection. With another that waits there, a restore's peak is 40 MB higher, and hardly faster. */
const MAX_PENDING = 1;
const MAX_STATEMENT_BYTES = 15 * 1024 * 1024;
/** ER_SERVER_SHUTDOWN, ER_QUERY_INTERRUPTED: what those are told who are at work while a server is stopped. */
const STOPPED = [1053, 1317];

/** Undefined where one is asked for, or the server gives us no more: then the client loads the rows, too. */
export async function openRowLoaders(
  server: Server,
  schema: string,
  parallelJobs: number | undefined,
): Promise<RowLoaders | undefined> {
  const wanted = parallelJobs ?? Math.min(USUAL_CONNECTIONS, Math.max(2, availableParallelism()));
  if (wanted < 2) return undefined;
  const loaders: { readonly session: Session; pending: number }[] = [];
  let maxPacketBytes = 0;
  const close = async () => {
    for (const { session } of loaders) await session.close();
  };
  try {
    while (loaders.length < wanted) {
      const session = await server.open(schema);
      try {
        await session.run(ROWS_BEGIN);
        const [row] = await session.rows<{ packet: string }>('SELECT @@max_allowed_packet AS packet');
        maxPacketBytes = Number(row!.packet);
      } catch (error) {
        await session.close();
        throw error;
      }
      loaders.push({ session, pending: 0 });
    }
  } catch {
    // Fewer than were wanted do as well.
    if (server.source.signal.aborted || loaders.length < 2) {
      await close();
      throwIfAborted(server.source.signal);
      return undefined;
    }
  }
  let failure: unknown;
  let wake = () => {};
  const changed = () =>
    new Promise<void>((resolve) => {
      wake = resolve;
    });
  const check = () => {
    if (failure !== undefined) throw loadError(failure, schema);
  };
  return {
    // What is too large for the server is the client's, which says so: the driver only sees that it hangs up.
    takes: (statement) =>
      statement.length <= Math.min(MAX_STATEMENT_BYTES, maxPacketBytes - 1) && isUtf8(statement),
    async insert(statement) {
      for (;;) {
        check();
        const loader = loaders.reduce((least, other) => (other.pending < least.pending ? other : least));
        if (loader.pending >= MAX_PENDING) {
          await changed();
          continue;
        }
        loader.pending++;
        const sql = statement.toString('utf8');
        retryDeadlocks(() => loader.session.run(sql), server.source.signal)
          .catch((error: unknown) => {
            failure ??= error;
          })
          .finally(() => {
            loader.pending--;
            wake();
          });
        return;
      }
    },
    async settled() {
      while (failure === undefined && loaders.some(({ pending }) => pending > 0)) await changed();
      check();
    },
    close,
  };
}

/** In the words of the client, for the same hints. */
function loadError(error: unknown, schema: string): DguardError {
  const number = serverErrorNumber(error);
  if (number === undefined) {
    const { message, hint } = serverError(error, 'target_failed', 'load', schema);
    return new DguardError('target_failed', message, {
      operation: 'load',
      subject: schema,
      hint: `the target was not touched${hint === undefined ? '' : `; ${hint}`}`,
      cause: error,
    });
  }
  return new DguardError('target_failed', `ERROR ${number}: ${errorText(error)}`, {
    operation: 'load',
    subject: schema,
    hint: STOPPED.includes(number)
      ? 'the target was not touched; check that the server runs, and that nobody ends its statements, then restore again'
      : 'the target was not touched; solve what the server names, then restore again',
    cause: error,
  });
}
