import { tmpdir } from 'node:os';
import { openChild } from '../../../child/open.ts';
import type { Child } from '../../../child/types.ts';
import { DguardError, type ErrorCode } from '../../../errors.ts';
import { MONEY } from '../server/connection.ts';
import { identifier } from '../server/session.ts';
import { MORE_LOCKS } from './begin-locked.ts';
import type { Snapshot } from './snapshot.ts';

/** The arguments that every pg_dump of a snapshot has. */
export async function dumpArguments(snapshot: Snapshot): Promise<string[]> {
  const { server, tools, database, encoding, id, withoutRows, keptSchemas } = snapshot;
  return [
    ...tools.argv('pg_dump'),
    `--dbname=${await server.conninfo(database, [MONEY])}`,
    '--no-password',
    // Compression is dguard's: what comes compressed cannot be deduplicated.
    '--compress=0',
    // Not the client_encoding that a role or database may have set: it may not hold every character.
    `--encoding=${encoding}`,
    `--snapshot=${id}`,
    `--lock-wait-timeout=${server.lockTimeoutMs}`,
    ...keptSchemas.map((name) => `--exclude-schema=${identifier(name)}`),
    ...withoutRows.map(
      ({ schema, table }) => `--exclude-table-data=${identifier(schema)}.${identifier(table)}`,
    ),
  ];
}

/** Starts one of the dump tools; a failure names what to do about the usual causes. */
export async function startTool(
  snapshot: Snapshot,
  argv: readonly string[],
  subject: string,
  {
    stdin,
    chunkBytes,
    muchOutput = false,
  }: {
    readonly stdin?: AsyncIterable<Uint8Array>;
    readonly chunkBytes?: number;
    readonly muchOutput?: boolean;
  } = {},
): Promise<Child> {
  const { env, secrets, source } = snapshot.server;
  return await openChild(argv, {
    env,
    signal: snapshot.signal,
    redact: secrets,
    ...(muchOutput ? { pipeFolder: source.tempDir || tmpdir() } : {}),
    elsewhere: source.options.client_command.length > 0,
    ...(stdin === undefined ? {} : { stdin }),
    ...(chunkBytes === undefined ? {} : { chunkBytes }),
    failure: { code: 'source_failed', operation: 'dump', subject },
  });
}

/** Ends a tool: its warnings are passed on, its failure explained. */
export async function finishTool(snapshot: Snapshot, child: Child, subject: string): Promise<void> {
  try {
    const { stderr } = await child.done;
    if (stderr === '') return;
    snapshot.said.push(stderr);
    const first = stderr.split('\n').slice(0, 5).join('\n');
    snapshot.server.source.warn({ message: first, subject, partial: false });
  } catch (error) {
    throw explained(error, subject);
  }
}

export function explained(error: unknown, subject: string): unknown {
  if (!(error instanceof DguardError) || error.code !== 'source_failed') return error;
  const [code, hint] = explanation(error.message);
  if (hint === undefined) return error;
  // It names every table of the database.
  const message = error.message.replace(/(Query was: LOCK TABLE .{300}).+/s, '$1…');
  return new DguardError(code, message, { operation: 'dump', subject, hint, cause: error });
}

/** What a server says of a row that it cannot write in the memory that one text may take: of a few GB at most. */
export const TOO_LARGE = /Cannot enlarge string buffer|invalid memory alloc request size \d{1,10}(?!\d)/;
/** Longer than any value, or less than nothing, is what stands for a length in bytes that are none. */
const DAMAGED = /invalid memory alloc request size \d{11}|invalid string enlargement request size: -/;
const DAMAGED_HINT =
  'no value has such a length: a row or page of the table is damaged on the disk of the server. Look which with pg_amcheck (amcheck; 14 and newer) and keep a copy of the data folder; then restore the table from an older backup. Last resort, which loses the rows of such pages: zero_damaged_pages';

function explanation(message: string): [ErrorCode, string | undefined] {
  if (/out of shared memory/.test(message)) return ['source_failed', MORE_LOCKS];
  if (TOO_LARGE.test(message)) {
    return [
      'source_failed',
      'the server writes no row of over 1 GB as text, where bytea takes two characters a byte: leave the table out (exclude_tables), and keep its rows by \\copy … TO … (FORMAT binary)',
    ];
  }
  if (DAMAGED.test(message)) return ['source_failed', DAMAGED_HINT];
  if (/server version mismatch/.test(message)) {
    return ['tool_version', "install the client tools of the server's major version, or set client_path"];
  }
  // pg_dump's --lock-wait-timeout is a statement_timeout of its LOCK TABLE.
  if (/lock timeout|could not obtain lock|statement timeout[\s\S]*: LOCK TABLE/.test(message)) {
    return [
      'source_failed',
      'somebody holds a table exclusively, or waits for that (a migration, TRUNCATE, VACUUM FULL): run the backup at another time, or raise lock_timeout',
    ];
  }
  if (/No space left on device|Disk quota exceeded/.test(message)) {
    return ['storage_full', 'point temp_dir at a larger disk, or set parallel_jobs: 1'];
  }
  if (/due to statement timeout/.test(message)) {
    return ['source_failed', 'raise statement_timeout of the datasource'];
  }
  if (/row-level security/.test(message)) return ['source_failed', 'ALTER ROLE the backup role BYPASSRLS'];
  if (/permission denied for large object/.test(message)) {
    return ['source_failed', 'large objects have privileges of their own, which `dguard doctor` prints'];
  }
  if (/permission denied/.test(message)) {
    return ['source_failed', 'as a superuser: GRANT pg_read_all_data TO the backup role'];
  }
  if (/password authentication failed|no password supplied|authentication failed/.test(message)) {
    return ['source_failed', 'check username and password of the datasource, and pg_hba.conf of the server'];
  }
  return ['source_failed', undefined];
}
