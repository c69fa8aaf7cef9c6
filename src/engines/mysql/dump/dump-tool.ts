import { openChild } from '../../../child/open.ts';
import type { Child } from '../../../child/types.ts';
import { DguardError, type ErrorCode } from '../../../errors.ts';
import type { TableInfo } from '../server/catalog.ts';
import type { Server } from '../server/server.ts';
import { compareVersions, type Tools } from '../server/tools.ts';
import { watchDefinitions } from './watch-definitions.ts';

const CHUNK_BYTES = 1024 * 1024;
/** The last line that every dump tool writes, and only when all went well. */
const END_MARK = /^-- Dump completed(?: on [^\n]*)?$/m;
const TAIL_BYTES = 4096;

/** The arguments that every run of a dump tool has. */
export async function dumpArguments(server: Server, tools: Tools): Promise<string[]> {
  const modern = tools.flavour === 'mysql' && compareVersions(tools.version, '8.0.0') >= 0;
  return [
    ...tools.argv('dump'),
    await server.optionArgument(tools.flavour),
    '--single-transaction',
    '--quick',
    '--triggers',
    '--hex-blob',
    '--no-tablespaces',
    '--default-character-set=utf8mb4',
    '--max-allowed-packet=1073741824',
    '--skip-lock-tables',
    // The same data makes the same dump: blocks that are there already are not stored again.
    '--skip-dump-date',
    // A dump restores data; where a replica stands is not its business, and setting it needs privileges.
    ...(tools.flavour === 'mysql' ? ['--set-gtid-purged=OFF'] : []),
    // Histograms that only MySQL 8 and newer have a table of.
    ...(modern ? ['--column-statistics=0'] : []),
  ];
}

/** A run of the dump tool whose first bytes have come: its snapshot is taken. */
export interface RunningDump {
  /** All bytes in chunks of about 1 MiB. Throws when the tool failed, or ended without its end mark. */
  read(): AsyncGenerator<Uint8Array>;
  stop(): Promise<void>;
}

/**
 * Starts a dump tool and waits for its first output. It writes its header and the rest through one buffer,
 * which goes out only after its transaction began. `expected`: tables and views that it is to define; none: any.
 */
export async function startDump(
  server: Server,
  argv: readonly string[],
  expected: readonly TableInfo[],
  subject: string,
): Promise<RunningDump> {
  const { source, env, secrets } = server;
  const own = new AbortController();
  const child = await openChild(argv, {
    env,
    signal: AbortSignal.any([source.signal, own.signal]),
    redact: secrets,
    chunkBytes: 1,
    failure: { code: 'source_failed', operation: 'dump', subject },
  });
  const iterator = child.stdout[Symbol.asyncIterator]();
  const first = await iterator.next().catch((error: unknown) => {
    throw explained(error, subject);
  });
  return {
    read: () => checked(child, first, iterator, expected, server, subject),
    async stop() {
      own.abort();
      await child.done.catch(() => {});
    },
  };
}

async function* checked(
  child: Child,
  first: IteratorResult<Uint8Array>,
  iterator: AsyncIterator<Uint8Array>,
  expected: readonly TableInfo[],
  server: Server,
  subject: string,
): AsyncGenerator<Uint8Array> {
  const watch = watchDefinitions(expected);
  let tail = Buffer.alloc(0);
  let pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  const flush = () => {
    const chunk = pieces.length === 1 ? Buffer.from(pieces[0]!) : Buffer.concat(pieces, sizeBytes);
    pieces = [];
    sizeBytes = 0;
    watch.saw(chunk);
    tail = Buffer.from(
      chunk.length >= TAIL_BYTES ? chunk.subarray(-TAIL_BYTES) : Buffer.concat([tail, chunk]),
    );
    return chunk;
  };
  try {
    for (let next = first; !next.done; next = await iterator.next()) {
      pieces.push(next.value);
      sizeBytes += next.value.length;
      if (sizeBytes >= CHUNK_BYTES) yield flush();
    }
    if (sizeBytes > 0) yield flush();
  } catch (error) {
    throw explained(error, subject);
  } finally {
    await iterator.return?.();
  }
  const { stderr } = await child.done;
  if (stderr !== '') {
    server.source.warn({ message: stderr.split('\n').slice(0, 5).join('\n'), subject, partial: false });
  }
  if (!END_MARK.test(tail.toString('latin1'))) {
    throw new DguardError(
      'source_failed',
      'the dump tool ended well, but its dump lacks the line that ends it',
      {
        operation: 'dump',
        subject,
        hint: 'run it by hand; client_command must hand on nothing but its output (docker exec without -t)',
      },
    );
  }
  watch.check(subject);
}

function explained(error: unknown, subject: string): unknown {
  if (!(error instanceof DguardError) || error.code !== 'source_failed') return error;
  const [, code, hint] = EXPLANATIONS.find(([pattern]) => pattern.test(error.message)) ?? [];
  if (hint === undefined) return error;
  return new DguardError(code ?? error.code, error.message, {
    operation: 'dump',
    subject,
    hint,
    cause: error,
  });
}

const EXPLANATIONS: readonly [RegExp, ErrorCode, string][] = [
  // MariaDB's tools of 10.11 look at the name under verify-ca, and at an authority that is given under require, too.
  [
    /\berror:? 2026\b|TLS\/SSL error|SSL connection error/i,
    'source_failed',
    "the dump tool does not believe the server's certificate: call the server by a name of it (host), and give the authority that signed it (ssl_ca), or none with ssl: require",
  ],
  [
    /Error:? 1412|Table definition has changed|Error in field count/i,
    'source_failed',
    'a table was altered or truncated while it was dumped: run the backup again, not while migrations run',
  ],
  [
    /dump-history.*transaction-precise/i,
    'source_failed',
    'no tool dumps a history by transactions (ROW START as BIGINT): leave the table out (exclude_tables), or back up with format: jsonl, which has the rows as they are now',
  ],
  [
    /Deadlock found|\b1213\b|Lock wait timeout|\b1205\b/i,
    'source_failed',
    'somebody altered, renamed or locked a table while it was dumped: run the backup again, not while migrations run',
  ],
  [
    /references invalid table|Error:? 1356|\(1356\)/i,
    'source_failed',
    'repair or drop the view that is named, or leave it out: exclude_tables',
  ],
  [
    /\b1045\b|Access denied for user .* \(using password/i,
    'source_failed',
    'check username and password of the datasource, and the host that the account is for',
  ],
  [
    /insufficient privileges|Access denied|command denied|\b1142\b|\b1044\b/i,
    'source_failed',
    'grant the account SELECT, SHOW VIEW, TRIGGER, EVENT on the database, and for routines SHOW_ROUTINE (MySQL) or SELECT on mysql.proc (MariaDB)',
  ],
  [
    /doesn't exist|\b1146\b|Couldn't find table/i,
    'source_failed',
    'a table was dropped while the dump ran: run the backup again',
  ],
  [
    /Lost connection|\b2013\b|gone away|\b2006\b|Connection was killed|\b1927\b|\b1317\b|unexpected eof/i,
    'source_failed',
    'the server ended the connection: look at its log, at net_write_timeout and max_allowed_packet',
  ],
  [
    /unknown (option|variable)/i,
    'tool_version',
    "install the client tools of the server's own make and version, or set client_path",
  ],
  [
    /Authentication plugin .* cannot be loaded/i,
    'tool_version',
    "install the client tools of the server's own make, or the plugin that is named",
  ],
];
