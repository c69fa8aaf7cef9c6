import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openChild } from '../../../child/open.ts';
import { DguardError } from '../../../errors.ts';
import type { BackupContent } from '../../types.ts';
import { chosenArchive } from '../dump/archive-choice.ts';
import {
  counted,
  definitionsOf,
  type ParallelRequest,
  type Readable,
  type ReadRequest,
  readableArchive,
} from '../dump/archive-file.ts';
import type { DataBlock } from '../dump/archive-offsets.ts';
import type { Archive } from '../dump/content.ts';
import { feedPipes } from '../dump/data-pipes.ts';
import { parseToc } from '../dump/toc.ts';
import type { Server } from '../server/server.ts';
import type { Tools } from '../server/tools.ts';
import { type Loader, loadFailure } from './load-failures.ts';

export interface LoadRequest {
  readonly server: Server;
  readonly tools: Tools;
  readonly database: string;
  readonly loader: Loader;
  readonly flags: readonly string[];
  /** Of the sessions that load, as `name=value`. */
  readonly settings: readonly string[];
  /** `--use-list`; undefined: everything. */
  readonly list?: string;
  readonly read: ReadRequest;
  /** Where in the archive large data lie. */
  readonly known: readonly DataBlock[];
  readonly parallelJobs?: number;
  /** Definitions alone, of an archive that was staged or comes by stdin: by one connection. */
  readonly serial?: true;
}

/** Loads an archive with pg_restore; the first error ends it. Throws `target_failed`, or what the content throws. */
export async function loadArchive(
  content: BackupContent,
  archive: Archive,
  request: LoadRequest,
): Promise<void> {
  const { server, tools, database, settings, list, read } = request;
  const single = request.flags.includes('--single-transaction') || request.serial;
  const readable = await readableFor(content, archive, request);
  const argv = [
    ...tools.argv('pg_restore'),
    `--dbname=${await server.conninfo(database, settings)}`,
    '--no-password',
    '--exit-on-error',
    ...request.flags,
  ];
  if (list !== undefined && !server.connection.viaTools) {
    const path = join(read.tempDir, 'restore.list');
    await writeFile(path, list, { mode: 0o600 });
    argv.push(`--use-list=${path}`);
  }
  if (readable.kind === 'path') {
    if (!single) argv.push(`--jobs=${readable.jobs}`);
    argv.push(readable.path);
  }
  try {
    await runToEnd(argv, readable, request);
  } catch (error) {
    throw loadFailure(error, request.loader);
  }
}

async function runToEnd(argv: readonly string[], readable: Readable, request: LoadRequest): Promise<void> {
  const { server, database, read } = request;
  const stop = new AbortController();
  const child = await openChild(argv, {
    env: server.env,
    signal: AbortSignal.any([read.signal, stop.signal]),
    redact: server.secrets,
    ...(readable.kind === 'stdin' ? { stdin: readable.open() } : {}),
    failure: {
      code: 'target_failed',
      operation: 'load',
      subject: database,
      hint: 'the target was not touched; solve what pg_restore names, then restore again',
    },
  });
  if (readable.kind === 'path' && readable.pipes !== undefined) {
    await feedPipes(readable.pipes, {
      readers: readable.jobs,
      gone: child.done,
      stop: (error) => stop.abort(error),
    });
  }
  for await (const _ of child.stdout);
  const { stderr } = await child.done;
  // With --exit-on-error it never is, but should a version disagree: a restore with errors is none.
  if (/errors ignored on restore: [1-9]/.test(stderr)) {
    throw new DguardError('target_failed', stderr, { operation: 'load', subject: database });
  }
}

async function readableFor(
  content: BackupContent,
  archive: Archive,
  request: LoadRequest,
): Promise<Readable> {
  const { list, known, read, server, serial } = request;
  const { viaTools } = server.connection;
  if (viaTools && list !== undefined && archive.kind === 'custom') {
    // No list of ours reaches a pg_restore elsewhere: what it reads has nothing else.
    const choice = { wanted: entriesOf(list), known };
    return { kind: 'stdin', open: () => counted(chosenArchive(content, archive.entry, choice), read) };
  }
  if (serial) return definitionsOf(content, archive, read);
  return await readableArchive(content, archive, parallelRequest(request), !viaTools);
}

function entriesOf(list: string): ReadonlySet<number> {
  return new Set(parseToc(list).map(({ id }) => Number(id)));
}

function parallelRequest({ read, known, list, server, parallelJobs }: LoadRequest): ParallelRequest {
  const wanted = list === undefined ? undefined : entriesOf(list);
  return {
    ...{ ...read, known, env: server.env },
    ...(wanted === undefined ? {} : { wanted }),
    ...(parallelJobs === undefined ? {} : { parallelJobs }),
  };
}
