import type { RowStream } from '../rows/row-stream.ts';
import type { Session } from '../server/session.ts';

/**
 * Reads parts of tables over several sessions at a time, and yields their bytes in the order of the parts: the
 * same data makes the same bytes. A session is free again, and its locks given back, as soon as the server has
 * sent a part and `check` found nothing wrong with it. No more than two parts beyond the sessions' own are held.
 */
export async function* readInOrder<Part>(
  sessions: readonly Session[],
  parts: AsyncIterator<Part>,
  start: (session: Session, part: Part) => RowStream,
  check: (part: Part) => Promise<void>,
): AsyncGenerator<Buffer> {
  const free = [...sessions];
  const streams: RowStream[] = [];
  let planned = false;
  let unchecked = 0;
  let stopped = false;
  let failure: unknown;
  let wake = () => {};
  let changed = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const touch = () => {
    wake();
    changed = new Promise<void>((resolve) => {
      wake = resolve;
    });
  };
  const fail = (error: unknown) => {
    failure ??= error;
    stopped = true;
    touch();
  };
  const give = async (session: Session, stream: RowStream, part: Part) => {
    await stream.sent;
    await check(part);
    await session.run('ROLLBACK TO SAVEPOINT dguard');
    free.push(session);
    unchecked--;
    touch();
  };
  const plan = async () => {
    while (!stopped) {
      if (free.length === 0 || streams.length >= sessions.length + 2) {
        await changed;
        continue;
      }
      const next = await parts.next();
      if (next.done) break;
      const session = free.shift()!;
      await session.run('SAVEPOINT dguard');
      const stream = start(session, next.value);
      streams.push(stream);
      unchecked++;
      // A stream that fails tells its own reader, who comes first.
      give(session, stream, next.value).catch(fail);
      touch();
    }
    planned = true;
    touch();
  };
  plan().catch(fail);
  try {
    for (;;) {
      const head = streams[0];
      if (head !== undefined) {
        yield* head.read();
        streams.shift();
        touch();
      } else if (failure !== undefined) throw failure;
      else if (planned && unchecked === 0) return;
      else await changed;
    }
  } finally {
    stopped = true;
    touch();
  }
}
