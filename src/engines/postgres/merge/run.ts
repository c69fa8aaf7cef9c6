import { openChild } from '../../../child/open.ts';
import { DguardError } from '../../../errors.ts';
import { isMissingSchema } from '../server/catalog.ts';
import { SCRIPT_FLAGS, SCRIPT_HEAD } from '../server/connection.ts';
import type { Server } from '../server/server.ts';
import type { Tools } from '../server/tools.ts';
import type { ScriptPart } from './script.ts';

export interface ScriptRequest {
  readonly server: Server;
  readonly tools: Tools;
  readonly database: string;
  /** The schema that the script makes: with it there, the script was committed. */
  readonly makes: string;
}

/** Runs a script of one transaction by psql. Throws `target_refused` or `target_failed`: nothing was changed then. */
export async function runScript(parts: readonly ScriptPart[], request: ScriptRequest): Promise<void> {
  const { server, tools, database } = request;
  async function* input(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(`${SCRIPT_HEAD}SET search_path TO '';\n`);
    for (const part of parts) {
      if (typeof part === 'string') yield Buffer.from(part);
      else yield* part();
    }
  }
  const argv = [...tools.argv('psql'), `--dbname=${await server.conninfo(database)}`, ...SCRIPT_FLAGS];
  try {
    const child = await openChild(argv, {
      env: server.env,
      signal: server.source.signal,
      redact: server.secrets,
      stdin: input(),
      failure: { code: 'target_failed', operation: 'swap tables', subject: database },
    });
    for await (const _ of child.stdout);
    const { stdinCutShort } = await child.done;
    if (!stdinCutShort) return;
    throw new DguardError('target_failed', 'psql ended before it had read all of the swap', {
      operation: 'swap tables',
      subject: database,
    });
  } catch (error) {
    if (await committed(request)) return;
    throw explained(error, database);
  }
}

/** Rows as COPY writes them, of a query in a database. */
export async function* copyOut(
  { server, tools, database }: Omit<ScriptRequest, 'makes'>,
  query: string,
): AsyncGenerator<Uint8Array> {
  async function* input(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(`${SCRIPT_HEAD}SET search_path TO '';\nCOPY (${query}) TO STDOUT;\n`);
  }
  const argv = [...tools.argv('psql'), `--dbname=${await server.conninfo(database)}`, ...SCRIPT_FLAGS];
  const child = await openChild(argv, {
    env: server.env,
    signal: server.source.signal,
    redact: server.secrets,
    stdin: input(),
    failure: { code: 'target_failed', operation: 'read staged rows', subject: database },
  });
  yield* child.stdout;
}

/** The last word of a connection that broke may have been lost: the catalogs know. */
async function committed({ server, database, makes }: ScriptRequest): Promise<boolean> {
  if (server.source.signal.aborted) return false;
  try {
    const session = await server.open(database);
    try {
      return !(await isMissingSchema(session, makes));
    } finally {
      await session.close();
    }
  } catch {
    return false;
  }
}

function explained(error: unknown, database: string): unknown {
  if (!(error instanceof DguardError) || error.code !== 'target_failed') return error;
  const [code, hint] = explanation(error.message);
  return new DguardError(code, error.message, {
    operation: 'swap tables',
    subject: database,
    hint: `${hint}; nothing was changed`,
    cause: error,
  });
}

function explanation(message: string): ['target_refused' | 'target_failed', string] {
  if (/violates foreign key constraint/.test(message)) {
    return [
      'target_refused',
      'rows would refer to rows that are not there: restore the other table too (--only), or to a database of its own: --to-database NAME',
    ];
  }
  if (/lock timeout|could not obtain lock|deadlock detected/.test(message)) {
    return ['target_refused', 'somebody works on a table: stop the application, then restore again'];
  }
  if (/row-level security/.test(message))
    return ['target_refused', 'as its owner: ALTER TABLE … NO FORCE ROW LEVEL SECURITY, or as a superuser'];
  if (/does not exist/.test(message)) {
    return [
      'target_refused',
      'a table needs what is not in the database: restore the whole backup to another one (--to-database NAME), and take it from there',
    ];
  }
  return ['target_failed', 'solve what psql names, then restore again'];
}
