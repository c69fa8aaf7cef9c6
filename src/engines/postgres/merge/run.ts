import { openChild } from '../../../child/open.ts';
import { DguardError, toDguardError } from '../../../errors.ts';
import { lookUntil, withSession } from '../../sessions.ts';
import { isMissingSchema } from '../server/catalog.ts';
import { SCRIPT_FLAGS, SCRIPT_HEAD, SET_MONEY } from '../server/connection.ts';
import { openServer, type Server } from '../server/server.ts';
import { literal } from '../server/session.ts';
import type { Tools } from '../server/tools.ts';
import type { ScriptPart } from './script.ts';

export interface ScriptRequest {
  readonly server: Server;
  readonly tools: Tools;
  readonly database: string;
  /** The schema that the script makes: with it there, the script was committed. */
  readonly makes: string;
}

/**
 * Runs a script of one transaction by psql. Throws `target_refused`, `target_failed` or the abort's error: nothing was
 * changed then, and nothing will be, unless the message says that it is not known.
 */
export async function runScript(parts: readonly ScriptPart[], request: ScriptRequest): Promise<void> {
  const { server, tools, database, makes } = request;
  let handedOver = false;
  async function* input(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(
      `${SCRIPT_HEAD}SET application_name TO ${literal(makes)};\nSET search_path TO '';\n${SET_MONEY};\n`,
    );
    for (const part of parts) {
      // With the last of them psql has the commit.
      if (part === parts.at(-1)) handedOver = true;
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
    const isCommitted = await committed(request);
    if (isCommitted) return;
    if (isCommitted === undefined && handedOver) throw undecided(error, request);
    throw explained(error, database);
  }
}

/** Rows as COPY writes them, of a query in a database. */
export async function* copyOut(
  { server, tools, database }: Omit<ScriptRequest, 'makes'>,
  query: string,
): AsyncGenerator<Uint8Array> {
  async function* input(): AsyncGenerator<Uint8Array> {
    yield Buffer.from(`${SCRIPT_HEAD}SET search_path TO '';\n${SET_MONEY};\nCOPY (${query}) TO STDOUT;\n`);
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

/**
 * The last word of a connection that broke may have been lost, and a server goes on with what a killed client has sent
 * last: it is told to stop, then the catalogs know. Undefined: the server does not answer, or does not stop.
 */
async function committed({ server, database, makes }: ScriptRequest): Promise<boolean | undefined> {
  const fresh = openServer({ ...server.source, signal: new AbortController().signal });
  try {
    return await withSession(
      () => fresh.open(database),
      async (session) => {
        const isOver = await lookUntil(async () => {
          const working = await session.rows(
            `SELECT pg_catalog.pg_terminate_backend(pid) AS told FROM pg_catalog.pg_stat_activity
              WHERE application_name = ${literal(makes)}`,
          );
          return working.length === 0;
        });
        if (!(await isMissingSchema(session, makes))) return true;
        return isOver ? false : undefined;
      },
    );
  } catch {
    return undefined;
  } finally {
    await fresh.dispose();
  }
}

function undecided(error: unknown, { database, makes }: ScriptRequest): DguardError {
  const { code, message } = toDguardError(error, 'target_failed');
  const how = `whether the server did it is not known: the rows were replaced if there is a schema ${makes} in ${database}`;
  return new DguardError(code, `${message}; ${how}`, {
    operation: 'swap tables',
    subject: database,
    hint: 'once the server answers: look whether that schema is there (it keeps what was replaced, dguard restore --undo takes it back); if not, restore again',
    cause: error,
  });
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
