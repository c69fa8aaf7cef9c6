import { DguardError } from '../../../errors.ts';
import type { Member } from '../../member.ts';
import type { Dump, DumpFacts, DumpRequest, EngineSource, TableFact } from '../../types.ts';
import type { SqlserverOptions } from '../options.ts';
import { listTables, schemaHash } from '../server/catalog.ts';
import { serverError } from '../server/failures.ts';
import { onlyDatabase, openServer } from '../server/server.ts';
import { readDatabase, readServer } from '../server/server-info.ts';
import type { Session } from '../server/session.ts';
import { backupStatement, headerStatement, verifyStatement } from '../server/statements.ts';
import { parseHeader } from './backup-file.ts';
import { dumpRows } from './jsonl-dump.ts';
import { newSharedFile, readShared, removeShared, requireVisible } from './shared-folder.ts';
import { factsOf, identityOf, type Subject } from './subject.ts';

export const BACKUP_MEMBER = 'database.bak';

/** Backs a database up: by the server itself through a folder that both see, or row by row as JSONL. */
export async function dumpDatabase(
  source: EngineSource<SqlserverOptions>,
  request: DumpRequest,
): Promise<Dump> {
  const server = openServer(source);
  const database = request.database ?? onlyDatabase(server);
  const subject = `${source.name}/${database}`;
  let session: Session | undefined;
  try {
    session = await server.open(database);
    const info = await readServer(session);
    const facts = await readDatabase(session, database);
    if (facts === undefined) {
      throw new DguardError(
        'source_failed',
        `there is no database ${database}, or the login may not see it`,
        {
          operation: 'dump',
          subject,
          hint: 'list the databases: SELECT name FROM sys.databases',
        },
      );
    }
    const opened = { server, session, database, info, facts, subject };
    return await (request.format === 'jsonl' ? dumpRows(opened, request) : dumpNative(opened, request));
  } catch (error) {
    await session?.close();
    throw serverError(error, 'source_failed', 'dump', subject);
  }
}

/**
 * The server writes the whole backup before its first byte is read here: only then is it known to be good, and
 * RESTORE VERIFYONLY has read it back with its checksums.
 */
async function dumpNative(opened: Subject, request: DumpRequest): Promise<Dump> {
  const { server, session, database, info, subject } = opened;
  const { options, now } = server.source;
  refuseNative(opened, request);
  const file = newSharedFile(options, subject);
  const close = async () => {
    await session.close();
    await removeShared(file);
  };
  try {
    const before = await observe(session);
    await session.run(backupStatement(database, file.serverPath, info.compresses));
    const snapshotAt = now();
    const after = await observe(session);
    const sizeBytes = await requireVisible(file, subject);
    await session.run(verifyStatement(file.serverPath));
    const header = parseHeader(await session.rows(headerStatement(file.serverPath)));
    if (!header.hasChecksums || header.isDamaged) {
      throw new DguardError(
        'source_failed',
        'the server wrote a backup without checksums, or a damaged one',
        {
          operation: 'dump',
          subject,
          hint: 'look at the server log, and check the database: DBCC CHECKDB',
        },
      );
    }
    const tables = agreedTables(before.tables, after.tables);
    return {
      snapshotAt,
      identity: identityOf(opened),
      expectedBytes: sizeBytes,
      async *members(): AsyncGenerator<Member> {
        yield {
          kind: 'stream',
          path: BACKUP_MEMBER,
          media: 'application/octet-stream',
          format: 'mssql-bak',
          open: () => readShared(file),
          tables: async () => tables,
        };
      },
      async facts(): Promise<DumpFacts> {
        return {
          database_version: info.version,
          tool: 'BACKUP DATABASE',
          tool_version: info.version,
          consistency: 'snapshot',
          ...(before.hash === after.hash ? { schema_sha256: after.hash } : {}),
          tables_count: tables.length,
          rows: tables.reduce((sum, { rows }) => sum + (rows ?? 0), 0),
          engine: { ...factsOf(opened, 'native'), files_size_bytes: header.sizeBytes },
        };
      },
      close,
    };
  } catch (error) {
    await close();
    throw serverError(error, 'source_failed', 'dump', subject);
  }
}

/** What can be known in advance to end in an error of the server's own. */
function refuseNative({ info, facts, subject }: Subject, request: DumpRequest): void {
  const refuse = (message: string) => {
    throw new DguardError('config_invalid', message, {
      operation: 'dump',
      subject,
      hint: 'give the job options: { format: jsonl }',
    });
  };
  if (info.isAzure) refuse('Azure SQL Database makes no backups that could be taken away');
  if (request.include.length > 0 || request.exclude.length > 0)
    refuse('a native backup is of the whole database: tables cannot be picked');
  if (facts.state !== 'ONLINE') {
    throw new DguardError('source_failed', `the database is ${facts.state}, not ONLINE`, {
      operation: 'dump',
      subject,
      hint: 'bring it online first: ALTER DATABASE … SET ONLINE',
    });
  }
}

async function observe(session: Session) {
  return { tables: await listTables(session), hash: await schemaHash(session) };
}

/** The server's counts are of no one moment: only what was the same before and after is recorded. */
export function agreedTables(
  before: readonly { readonly name: string; readonly rows: number }[],
  after: readonly { readonly name: string; readonly rows: number }[],
): TableFact[] {
  const counts = new Map(before.map(({ name, rows }) => [name, rows]));
  return after
    .filter(({ name }) => counts.has(name))
    .map(({ name, rows }) => (counts.get(name) === rows ? { name, rows } : { name }));
}
