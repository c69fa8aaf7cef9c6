import { randomBytes } from 'node:crypto';
import { DguardError } from '../../../errors.ts';
import { explained, finishTool, startTool } from '../dump/run-tool.ts';
import type { Snapshot } from '../dump/snapshot.ts';
import { type TableInfo, tableLock } from '../server/catalog.ts';
import { MONEY, SCRIPT_FLAGS, SCRIPT_HEAD } from '../server/connection.ts';
import { lineQueue } from '../server/psql-session.ts';
import { literal } from '../server/session.ts';

const CHUNK_BYTES = 1024 * 1024;

/** Reads rows of a snapshot, one query after the other. */
export interface RowSession {
  /** What a COPY … TO STDOUT writes, in chunks of about 1 MiB. Read to its end before the next is asked. */
  copy(statement: string): AsyncGenerator<Uint8Array>;
  /** Ends psql; throws what it failed with. */
  end(): Promise<void>;
}

/**
 * One psql for the rows of all tables, which locks them before it reads the first. A psql for each table would come
 * for its lock later, behind whoever waits meanwhile to alter that table, who waits for the snapshot's session, which
 * waits for the rows: a circle that the server cannot see, with all who use the table standing behind it.
 */
export async function openRowSession(
  snapshot: Snapshot,
  tables: readonly TableInfo[],
  subject: string,
): Promise<RowSession> {
  const { server, tools, database, id } = snapshot;
  const input = lineQueue();
  const argv = [
    ...tools.argv('psql'),
    `--dbname=${await server.conninfo(database, [MONEY])}`,
    ...SCRIPT_FLAGS,
  ];
  const child = await startTool(snapshot, argv, subject, { stdin: input.lines(), chunkBytes: 1 });
  const output = child.stdout[Symbol.asyncIterator]();
  const script = [
    'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
    `SET TRANSACTION SNAPSHOT ${literal(id)}`,
    "SET search_path TO ''",
    `SET LOCAL lock_timeout = ${server.lockTimeoutMs}`,
    ...(tables.length === 0 ? [] : [tableLock(tables)]),
  ];
  input.push(`${SCRIPT_HEAD}${script.join(';\n')};\n`);
  return {
    async *copy(statement) {
      const mark = Buffer.from(`dguard-${randomBytes(9).toString('hex')}\n`);
      input.push(`${statement};\n\\echo ${mark.toString('latin1')}`);
      let pieces: Uint8Array[] = [];
      let bytes = 0;
      let last: Buffer = Buffer.alloc(0);
      // A line of JSON does not begin as the mark does, and behind the mark nothing comes until more is asked.
      while (!last.equals(mark)) {
        const next = await output.next().catch((error: unknown) => {
          throw explained(error, subject);
        });
        if (next.done) {
          await finishTool(snapshot, child, subject);
          throw new DguardError('source_failed', 'psql ended before it had written all rows', {
            operation: 'dump',
            subject,
          });
        }
        pieces.push(next.value);
        bytes += next.value.length;
        last = Buffer.concat([last, next.value.subarray(-mark.length)]).subarray(-mark.length);
        if (bytes < CHUNK_BYTES + mark.length) continue;
        const all = Buffer.concat(pieces, bytes);
        yield all.subarray(0, -mark.length);
        pieces = [all.subarray(-mark.length)];
        bytes = mark.length;
      }
      if (bytes > mark.length) yield Buffer.concat(pieces, bytes).subarray(0, -mark.length);
    },
    async end() {
      input.end();
      for (;;) {
        const next = await output.next().catch((error: unknown) => {
          throw explained(error, subject);
        });
        if (next.done) break;
      }
      await finishTool(snapshot, child, subject);
    },
  };
}
