import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openChild } from '../../../child.ts';
import { DguardError } from '../../../errors.ts';
import type { BackupContent } from '../../types.ts';
import {
  definitionsOf,
  type ParallelRequest,
  type ReadRequest,
  readableArchive,
} from '../dump/archive-file.ts';
import type { DataBlock } from '../dump/archive-offsets.ts';
import { feedPipes } from '../dump/data-pipes.ts';
import { parseToc } from '../dump/toc.ts';
import type { Server } from '../server/server.ts';
import type { Tools } from '../server/tools.ts';
import type { Archive } from './content.ts';

export interface LoadRequest {
  readonly server: Server;
  readonly tools: Tools;
  readonly database: string;
  readonly flags: readonly string[];
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
  const { server, tools, database, list, read } = request;
  const single = request.flags.includes('--single-transaction') || request.serial;
  const readable =
    request.serial === undefined
      ? await readableArchive(content, archive, parallelRequest(request), !server.connection.viaTools)
      : definitionsOf(content, archive, read);
  const argv = [
    ...tools.argv('pg_restore'),
    `--dbname=${await server.conninfo(database)}`,
    '--no-password',
    '--exit-on-error',
    ...request.flags,
  ];
  if (list !== undefined) {
    if (server.connection.viaTools) {
      throw new DguardError('unsupported', 'tables can be chosen only where pg_restore runs here', {
        operation: 'restore',
        subject: database,
        hint: 'restore the whole backup to another database, or use a datasource without client_command',
      });
    }
    const path = join(read.tempDir, 'restore.list');
    await writeFile(path, list, { mode: 0o600 });
    argv.push(`--use-list=${path}`);
  }
  if (readable.kind === 'path') {
    if (!single) argv.push(`--jobs=${readable.jobs}`);
    argv.push(readable.path);
  }
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

function parallelRequest({ read, known, list, server, parallelJobs }: LoadRequest): ParallelRequest {
  const wanted = list === undefined ? undefined : new Set(parseToc(list).map(({ id }) => Number(id)));
  return {
    ...{ ...read, known, env: server.env },
    ...(wanted === undefined ? {} : { wanted }),
    ...(parallelJobs === undefined ? {} : { parallelJobs }),
  };
}
