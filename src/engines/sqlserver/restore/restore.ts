import { DguardError, errorText } from '../../../errors.ts';
import { occupiedDatabase } from '../../occupied.ts';
import { recordedTables } from '../../recorded-tables.ts';
import { withSession } from '../../sessions.ts';
import type { BackupContent, RestoreOutcome, RestoreRequest, TableFact } from '../../types.ts';
import { warnOfUnmet } from '../../unmet.ts';
import { type BackupFile, type Header, parseFileList, parseHeader, placeFiles } from '../dump/backup-file.ts';
import { type SourceFacts, sourceFacts } from '../dump/facts.ts';
import { newSharedFile, removeShared, type SharedFile, writeShared } from '../dump/shared-folder.ts';
import type { SqlserverOptions } from '../options.ts';
import { tableMatcher } from '../select.ts';
import { listTables, schemaHash } from '../server/catalog.ts';
import { serverError } from '../server/failures.ts';
import { MASTER, onlyDatabase, openServer, type Server } from '../server/server.ts';
import { type DatabaseInfo, readDatabase, readServer, type ServerInfo } from '../server/server-info.ts';
import type { Session } from '../server/session.ts';
import { identifier, literal } from '../server/sql.ts';
import {
  dropStatement,
  fileListStatement,
  headerStatement,
  restoreStatement,
  singleUserStatement,
  verifyStatement,
} from '../server/statements.ts';
import { findBackup } from './inspect.ts';
import { loadDocument, readDocument } from './jsonl-load.ts';
import { besideName, deferred, holdTarget, type Mark, markStatement } from './marks.ts';
import { dressDatabase, refuseBound, refuseBusy, swapDatabases } from './swap.ts';
import { targetSource } from './target.ts';

type Request = RestoreRequest<SqlserverOptions>;

interface Work {
  readonly content: BackupContent;
  readonly request: Request;
  readonly server: Server;
  /** In master; its lock says that a restore of this target is going on. */
  readonly admin: Session;
  readonly info: ServerInfo;
  readonly target: string;
  readonly facts: SourceFacts;
  readonly existing?: DatabaseInfo;
}

/**
 * Restores a backup to a database: into a new one beside it, compared with what was recorded, and given its name
 * by renames. What was there before is kept as `NAME__dg_undo_…`.
 */
export async function restoreBackup(content: BackupContent, request: Request): Promise<RestoreOutcome> {
  const server = openServer(targetSource(request));
  const target = request.toDatabase ?? content.database ?? onlyDatabase(server);
  let admin: Session | undefined;
  try {
    admin = await server.open(MASTER);
    const info = await readServer(admin);
    const facts = sourceFacts(content.facts.engine);
    const existing = request.scratch ? undefined : await readDatabase(admin, target);
    const work = { content, request, server, admin, info, target, facts, ...(existing ? { existing } : {}) };
    await preflight(work);
    if (request.dryRun) return plan(work);
    if (!(await holdTarget(admin, target))) {
      throw new DguardError('locked', 'another restore of this database is going on', {
        operation: 'restore',
        subject: target,
      });
    }
    return await restoreBeside(work);
  } catch (error) {
    throw serverError(error, 'target_failed', 'restore', request.source?.name ?? target);
  } finally {
    await admin?.close();
  }
}

async function preflight({
  content,
  request,
  server,
  info,
  target,
  facts,
  existing,
  admin,
}: Work): Promise<void> {
  const refuse = (message: string, hint: string) =>
    new DguardError('target_refused', message, { operation: 'restore', subject: target, hint });
  if (facts.kind === 'native') {
    if (request.only.length > 0)
      throw refuse(
        'a native backup is restored whole',
        'restore it to another database (--to-database), and take the tables from there',
      );
    if (facts.server_major > info.major) {
      throw refuse(
        `the backup is of SQL Server ${facts.server_version}, the target is ${info.version}: no backup goes into an older server`,
        `restore to a server of version ${facts.server_major} or newer`,
      );
    }
    newSharedFile(server.source.options, server.source.name);
  }
  if (existing === undefined) return;
  if (!request.overwrite && !(await isEmpty(server, target))) throw occupiedDatabase(target, false);
  if (!content.whole || request.only.length > 0)
    throw refuse(
      'only a backup of the whole database takes the place of one',
      'restore it to another database: --to-database NAME',
    );
  refuseBound(existing);
  await refuseBusy(admin, target);
}

async function isEmpty(server: Server, database: string): Promise<boolean> {
  const session = await server.open(database);
  try {
    return (await listTables(session)).length === 0;
  } finally {
    await session.close();
  }
}

async function restoreBeside(work: Work): Promise<RestoreOutcome> {
  const { admin, request, target, existing, facts } = work;
  const { scratch, backupId } = request;
  const name = besideName(target, scratch ? 'scratch' : 'new');
  const createdAt = request.now().toISOString();
  const mark: Mark = { role: scratch ? 'scratch' : 'new', target, backupId, createdAt };
  let inPlace = false;
  try {
    const tables = await (facts.kind === 'native' ? loadNative : loadRows)(work, name, mark);
    await prove(work, name);
    const sizeBytes = await sizeOf(admin, name);
    if (scratch) return { target: name, sizeBytes, tables };
    const dress = existing ?? { owner: facts.owner, trustworthy: false };
    await dressDatabase(admin, name, dress, request.warn);
    if (existing !== undefined) await refuseBusy(admin, target);
    const undo = await swapDatabases(admin, { target, incoming: name, backupId, createdAt });
    inPlace = true;
    return { target, sizeBytes, tables, ...(undo === undefined ? {} : { undo }) };
  } finally {
    if (!inPlace) await dropQuietly(work, name);
  }
}

/** Through the shared folder: the server looks at the file before it restores it. */
async function loadNative(work: Work, name: string, mark: Mark): Promise<readonly TableFact[]> {
  const { content, server, admin, request, info } = work;
  const file = newSharedFile(server.source.options, server.source.name);
  const entry = await findBackup(content);
  try {
    let done = 0;
    async function* bytes(): AsyncGenerator<Uint8Array> {
      for await (const chunk of content.read(entry)) {
        done += chunk.length;
        request.onProgress(done, 0);
        yield chunk;
      }
    }
    await writeShared(file, bytes());
    const { header, files } = await readFile(admin, file);
    if (header.majorVersion > info.major) {
      throw new DguardError('target_refused', `the backup file is of version ${header.serverVersion}`, {
        operation: 'restore',
        subject: name,
        hint: 'restore to a server of that version or newer',
      });
    }
    const moves = placeFiles(files, name, await defaultFolders(admin, info));
    await admin.run(
      `${restoreStatement(name, file.serverPath, moves)}; ${deferred(markStatement(name, mark))}`,
    );
  } finally {
    await removeShared(file);
  }
  return await compareNative(work, name);
}

async function readFile(
  admin: Session,
  { serverPath }: SharedFile,
): Promise<{ header: Header; files: readonly BackupFile[] }> {
  await admin.run(verifyStatement(serverPath));
  return {
    header: parseHeader(await admin.rows(headerStatement(serverPath))),
    files: parseFileList(await admin.rows(fileListStatement(serverPath))),
  };
}

/** Where the server puts new databases; where it does not say, beside those of master. */
async function defaultFolders(admin: Session, info: ServerInfo): Promise<{ data: string; log: string }> {
  if (info.dataPath !== undefined && info.logPath !== undefined)
    return { data: info.dataPath, log: info.logPath };
  const rows = await admin.rows<{ type: string; path: string }>(
    'SELECT type_desc AS type, physical_name AS path FROM sys.master_files WHERE database_id = 1',
  );
  const folder = (type: string) => {
    const path = rows.find((row) => row.type === type)?.path ?? '';
    return path.slice(0, Math.max(path.lastIndexOf('\\'), path.lastIndexOf('/')) + 1);
  };
  return { data: info.dataPath ?? folder('ROWS'), log: info.logPath ?? folder('LOG') };
}

/** The same tables, and the same definitions where they stood still during the backup. */
async function compareNative(work: Work, name: string): Promise<readonly TableFact[]> {
  const { content, server, info, facts, request } = work;
  const recorded = await recordedTables(content);
  const session = await server.open(name);
  try {
    const found = new Map((await listTables(session)).map((table) => [table.name, table.rows]));
    const lost = recorded.filter((table) => !found.has(table.name)).map((table) => table.name);
    const sha256 = content.facts.schema_sha256;
    const changed =
      sha256 !== undefined && facts.server_major === info.major && (await schemaHash(session)) !== sha256;
    if (lost.length > 0 || changed) {
      const why =
        lost.length > 0
          ? `these tables are missing: ${lost.slice(0, 5).join(', ')}`
          : 'the schema is another';
      throw new DguardError('corrupt', `the restored database is not what was recorded: ${why}`, {
        operation: 'compare',
        subject: name,
      });
    }
    // Counted by the server, at a moment near the backup's: a difference says little.
    for (const { name: table, rows } of recorded) {
      if (rows === undefined || found.get(table) === rows) continue;
      const message = `${table} has ${found.get(table)} rows, ${rows} were counted beside the backup`;
      request.warn({ message, subject: name, partial: false });
    }
    return [...found].map(([table, rows]) => ({ name: table, rows }));
  } finally {
    await session.close();
  }
}

async function loadRows(work: Work, name: string, mark: Mark): Promise<readonly TableFact[]> {
  const { content, server, admin, request } = work;
  const document = await readDocument(content);
  const isMet = (pattern: string) => document.tables.some(tableMatcher([pattern]));
  warnOfUnmet(request.only, isMet, request.warn);
  const collate = document.collation === null ? '' : ` COLLATE ${document.collation}`;
  await admin.run(`CREATE DATABASE ${identifier(name)}${collate}; ${deferred(markStatement(name, mark))}`);
  // What keeps no log of its own needs none while it is loaded.
  await admin.run(`ALTER DATABASE ${identifier(name)} SET RECOVERY SIMPLE`);
  const session = await server.open(name);
  let done = 0;
  try {
    return await loadDocument(session, content, document, request.only, (count) => {
      done += count;
      request.onProgress(done, 0);
    });
  } finally {
    await session.close();
  }
}

/** Every page as it should be. https://learn.microsoft.com/sql/t-sql/database-console-commands/dbcc-checkdb-transact-sql */
async function prove({ admin }: Work, name: string): Promise<void> {
  await admin.run(`DBCC CHECKDB (${literal(name)}) WITH NO_INFOMSGS, PHYSICAL_ONLY`);
}

async function sizeOf(admin: Session, name: string): Promise<number> {
  const [row] = await admin.rows<{ bytes: string | number | null }>(
    `SELECT SUM(CONVERT(bigint, size)) * 8192 AS bytes FROM sys.master_files WHERE database_id = DB_ID(${literal(name)})`,
  );
  return Number(row?.bytes ?? 0);
}

async function dropQuietly({ admin, server, request }: Work, name: string): Promise<void> {
  try {
    const drop = async (session: Session) => {
      if ((await readDatabase(session, name)) !== undefined) await dropDatabase(session, name);
    };
    if (!request.signal.aborted) return await drop(admin);
    // The restore's own session is broken.
    const fresh = openServer({ ...server.source, signal: new AbortController().signal });
    await withSession(() => fresh.open(MASTER), drop);
  } catch (error) {
    const message = `the database ${name} could not be removed (${errorText(error)}); it goes with: dguard restore --recover`;
    request.warn({ message, subject: name, partial: false, stays: true });
  }
}

/** A database of dguard's own, with whoever is in it. One that is being restored has nobody, and takes no option. */
export async function dropDatabase(admin: Session, name: string): Promise<void> {
  const state = (await readDatabase(admin, name))?.state;
  await admin.run(
    state === 'ONLINE' ? `${singleUserStatement(name)}; ${dropStatement(name)}` : dropStatement(name),
  );
}

function plan({ target, facts, existing, info, content }: Work): RestoreOutcome {
  const how = facts.kind === 'native' ? 'RESTORE DATABASE from the shared folder' : 'load the rows';
  const lines = [
    `${how} into a new database beside ${target} (SQL Server ${info.version})`,
    'check it (DBCC CHECKDB), and compare it with what the backup recorded',
    existing === undefined
      ? `name it ${target}`
      : `close idle sessions of ${target}, keep it as ${target}__dg_undo_…, and name the new one ${target}`,
  ];
  return { target, sizeBytes: Number(content.facts.engine?.['files_size_bytes'] ?? 0), plan: lines };
}
