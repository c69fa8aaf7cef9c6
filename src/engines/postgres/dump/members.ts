import type { Child } from '../../../child/types.ts';
import { DguardError } from '../../../errors.ts';
import type { Member } from '../../member.ts';
import type { DumpRequest, TableFact } from '../../types.ts';
import { createOffsetScanner, type DataBlock } from './archive-offsets.ts';
import { directoryMembers } from './directory.ts';
import { createLineCounter } from './line-counter.ts';
import { dumpArguments, explained, finishTool, startTool } from './run-tool.ts';
import { refuseRenamed } from './same-objects.ts';
import type { Snapshot } from './snapshot.ts';

export const CUSTOM_MEMBER = 'database.dump';
export const GLOBALS_MEMBER = 'globals.sql';

/** The first bytes of pg_dump's custom format (pg_backup_archiver.c). */
const MAGIC = Buffer.from('PGDMP');

const LARGE_BYTES = 4 * 1024 * 1024;
/** The manifest names them, and a restore makes a pipe for each. */
const MAX_LARGE = 200;

/** What makes a native dump, at work. */
export interface BegunDump {
  /** The database, in one stream or one per file, then the globals. `described`: what else is asked meanwhile. */
  members(described: Promise<unknown>, count: () => Promise<readonly TableFact[]>): AsyncGenerator<Member>;
  /** When all tools are gone that were started before anybody asked for their bytes. */
  ended(): Promise<void>;
}

/**
 * Starts what a native dump is made by, before anybody asks for its bytes: the server prepares them while the run
 * prepares where they go. What was started and is not read ends with the snapshot's `signal`.
 */
export function beginDump(snapshot: Snapshot, request: DumpRequest, subject: string): BegunDump {
  const jobs = request.parallelJobs;
  const started: Promise<Child>[] = [];
  const startAhead = (start: () => Promise<Child>) => {
    const tool = start();
    // Whoever reads it is told why it could not be started.
    tool.catch(() => {});
    started.push(tool);
    return () => tool;
  };
  const ended = async () => {
    await Promise.allSettled(started.map(async (tool) => (await tool).done));
  };
  if (jobs > 1 && canStage(snapshot, subject)) {
    const globals = startAhead(() => startGlobals(snapshot, subject));
    return {
      async *members(_, count) {
        yield* directoryMembers(snapshot, jobs, subject, count);
        yield globalsMember(snapshot, subject, globals);
      },
      ended,
    };
  }
  const dump = startAhead(async () =>
    startTool(snapshot, [...(await dumpArguments(snapshot)), '--format=custom'], subject, {
      muchOutput: true,
    }),
  );
  const globals = startAhead(async () => {
    await dump();
    return await startGlobals(snapshot, subject);
  });
  return {
    async *members(described, count) {
      yield {
        kind: 'stream',
        path: CUSTOM_MEMBER,
        media: 'application/octet-stream',
        format: 'pg_dump-custom',
        open: () => customDump(snapshot, subject, dump, described),
        tables: count,
      };
      yield globalsMember(snapshot, subject, globals);
    },
    ended,
  };
}

export function globalsMember(
  snapshot: Snapshot,
  subject: string,
  tool: () => Promise<Child> = () => startGlobals(snapshot, subject),
): Member {
  return {
    kind: 'stream',
    path: GLOBALS_MEMBER,
    media: 'application/sql',
    format: 'sql',
    open: () => globals(snapshot, subject, tool),
  };
}

async function* customDump(
  snapshot: Snapshot,
  subject: string,
  tool: () => Promise<Child>,
  described: Promise<unknown>,
): AsyncGenerator<Uint8Array> {
  const child = await tool();
  let failure = undefined as { readonly error: unknown } | undefined;
  described.catch((error: unknown) => {
    failure = { error };
  });
  let first = true;
  let looked: Promise<void> | undefined;
  const scanner = createOffsetScanner(snapshot.countsRows ? createLineCounter() : undefined);
  try {
    for await (const chunk of child.stdout) {
      if (first && !MAGIC.equals(chunk.subarray(0, MAGIC.length))) {
        throw new DguardError('source_failed', 'pg_dump wrote something else than a dump', {
          operation: 'dump',
          subject,
          hint: 'run it by hand; client_command must hand on nothing but its output (docker exec without -t)',
        });
      }
      // It writes the first byte when it has made the last definition.
      if (first) looked = refuseRenamed(snapshot.session, subject);
      looked?.catch(() => {});
      first = false;
      scanner.push(chunk);
      yield chunk;
      // What cannot be told of the source makes no backup: better now than after hours.
      if (failure) throw failure.error;
    }
  } catch (error) {
    // With the transaction that broke the snapshot is gone too: that pg_dump has to say.
    throw failure?.error ?? explained(error, subject);
  }
  if (first) throw new DguardError('source_failed', 'pg_dump wrote nothing', { operation: 'dump', subject });
  await finishTool(snapshot, child, subject);
  await looked;
  snapshot.largeData.push(...largest(scanner.blocks()));
  for (const [oid, rows] of scanner.rows()) snapshot.dumpedRows.set(oid, rows);
}

/** The blocks that are worth to be found again by themselves, in their order. */
function largest(blocks: readonly DataBlock[]): readonly DataBlock[] {
  return blocks
    .filter(({ start, end }) => end - start >= LARGE_BYTES)
    .sort((a, b) => b.end - b.start - (a.end - a.start))
    .slice(0, MAX_LARGE)
    .sort((a, b) => a.start - b.start);
}

/** Roles and tablespaces; passwords only where they can be read. */
async function startGlobals(snapshot: Snapshot, subject: string): Promise<Child> {
  const { server, tools, database, readsPasswords } = snapshot;
  const passwords = readsPasswords && server.source.options.role_passwords !== false;
  const argv = [
    ...tools.argv('pg_dumpall'),
    `--dbname=${await server.conninfo(database)}`,
    '--no-password',
    '--globals-only',
    ...(passwords ? [] : ['--no-role-passwords']),
  ];
  return await startTool(snapshot, argv, subject);
}

async function* globals(
  snapshot: Snapshot,
  subject: string,
  tool: () => Promise<Child>,
): AsyncGenerator<Uint8Array> {
  let child = await tool();
  let isBegun = false;
  for (let isAgain = false; ; isAgain = true) {
    try {
      for await (const chunk of child.stdout) {
        isBegun = true;
        yield chunk;
      }
      break;
    } catch (error) {
      if (isBegun || isAgain || snapshot.signal.aborted) throw explained(error, subject);
      // Of a role or database with few connections there may have been none left beside pg_dump: now there is.
      child = await startGlobals(snapshot, subject);
    }
  }
  await finishTool(snapshot, child, subject);
}

/** A parallel dump goes through a folder that the tool and dguard both reach. */
function canStage(snapshot: Snapshot, subject: string): boolean {
  if (!snapshot.server.connection.viaTools) return true;
  const message =
    'parallel_jobs needs a folder that pg_dump and dguard share: with client_command or run_as the dump is one stream';
  snapshot.server.source.warn({ message, subject, partial: false });
  return false;
}
