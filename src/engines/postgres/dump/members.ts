import { DguardError } from '../../../errors.ts';
import type { DumpRequest, Member, TableFact } from '../../types.ts';
import { dumpArguments, explained, finishTool, startTool } from '../server/run-tool.ts';
import { createOffsetScanner, type DataBlock } from './archive-offsets.ts';
import { directoryMembers } from './directory.ts';
import type { Snapshot } from './dump.ts';

export const CUSTOM_MEMBER = 'database.dump';
export const GLOBALS_MEMBER = 'globals.sql';

/** The first bytes of pg_dump's custom format (pg_backup_archiver.c). */
const MAGIC = Buffer.from('PGDMP');

const LARGE_BYTES = 4 * 1024 * 1024;
/** The manifest names them, and a restore makes a pipe for each. */
const MAX_LARGE = 200;

/** The members of a native dump: the database, in one stream or one per file, then the globals. */
export async function* dumpMembers(
  snapshot: Snapshot,
  request: DumpRequest,
  subject: string,
  count: () => Promise<readonly TableFact[]>,
): AsyncGenerator<Member> {
  if (request.parallelJobs > 1 && canStage(snapshot, subject)) {
    yield* directoryMembers(snapshot, request.parallelJobs, subject, count);
  } else {
    yield {
      kind: 'stream',
      path: CUSTOM_MEMBER,
      media: 'application/octet-stream',
      format: 'pg_dump-custom',
      open: () => customDump(snapshot, subject, count),
      tables: count,
    };
  }
  yield globalsMember(snapshot, subject);
}

export function globalsMember(snapshot: Snapshot, subject: string): Member {
  return {
    kind: 'stream',
    path: GLOBALS_MEMBER,
    media: 'application/sql',
    format: 'sql',
    open: () => globals(snapshot, subject),
  };
}

async function* customDump(
  snapshot: Snapshot,
  subject: string,
  count: () => Promise<unknown>,
): AsyncGenerator<Uint8Array> {
  const argv = [...(await dumpArguments(snapshot)), '--format=custom'];
  const child = await startTool(snapshot, argv, subject, { muchOutput: true });
  count().catch(() => {});
  let first = true;
  const scanner = createOffsetScanner();
  try {
    for await (const chunk of child.stdout) {
      if (first && !MAGIC.equals(chunk.subarray(0, MAGIC.length))) {
        throw new DguardError('source_failed', 'pg_dump wrote something else than a dump', {
          operation: 'dump',
          subject,
          hint: 'run it by hand; client_command must hand on nothing but its output (docker exec without -t)',
        });
      }
      first = false;
      scanner.push(chunk);
      yield chunk;
    }
  } catch (error) {
    throw explained(error, subject);
  }
  if (first) throw new DguardError('source_failed', 'pg_dump wrote nothing', { operation: 'dump', subject });
  await finishTool(snapshot, child, subject);
  snapshot.largeData.push(...largest(scanner.blocks()));
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
async function* globals(snapshot: Snapshot, subject: string): AsyncGenerator<Uint8Array> {
  const { server, session, tools, database } = snapshot;
  const [row] = await session.rows<{ readable: boolean }>(
    "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT') AS readable",
  );
  const passwords = row!.readable && server.source.options.role_passwords !== false;
  const argv = [
    ...tools.argv('pg_dumpall'),
    `--dbname=${await server.conninfo(database)}`,
    '--no-password',
    '--globals-only',
    ...(passwords ? [] : ['--no-role-passwords']),
  ];
  const child = await startTool(snapshot, argv, subject);
  try {
    yield* child.stdout;
  } catch (error) {
    throw explained(error, subject);
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
