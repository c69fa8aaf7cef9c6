import { errorText } from '../../errors.ts';
import { clockFindings } from '../diagnosis.ts';
import type { DiagnoseRequest, Finding } from '../health.ts';
import { leftoverFindings } from '../leftovers.ts';
import type { EngineSource } from '../types.ts';
import { listDatabases } from './databases.ts';
import { listLeftovers } from './dump/shared-folder.ts';
import type { SqlserverOptions } from './options.ts';
import { listMarked } from './restore/marks.ts';
import { failureKind } from './server/failures.ts';
import { openServer, type Server } from './server/server.ts';
import { readDatabase, readServer } from './server/server-info.ts';
import type { Session } from './server/session.ts';
import { identifier } from './server/sql.ts';

/** What a backup of each database, and a restore in its place, would stumble over. */
export async function diagnoseServer(
  source: EngineSource<SqlserverOptions>,
  { job }: DiagnoseRequest,
): Promise<readonly Finding[]> {
  const server = openServer(source);
  const databases = await listDatabases(source);
  const admin = await server.open();
  try {
    const info = await readServer(admin);
    const findings: Finding[] = [
      {
        severity: 'notice',
        topic: 'support',
        message:
          'SQL Server support is experimental: it was built from documentation and never ran against a real server; make a test restore before you rely on it (dguard verify --level restore)',
      },
      ...(await clockFindings(source.now, () => readClock(admin))),
      ...(await serverFindings(admin, info.login)),
      ...leftoverFindings(
        await listMarked(admin),
        { targets: source.options.all_databases ? [] : databases, datasource: source.name },
        job,
      ),
    ];
    for (const path of await listLeftovers(source.options, source.now())) {
      findings.push({
        severity: 'warning',
        topic: 'leftovers',
        subject: path,
        message: 'a run that was killed left this backup file; nothing needs it',
        fix: { by: 'shell', lines: [`rm -- '${path.replaceAll("'", "'\\''")}'`] },
      });
    }
    for (const database of databases)
      findings.push(...(await databaseFindings(server, admin, database, info.login)));
    return findings;
  } finally {
    await admin.close();
  }
}

async function readClock(session: Session): Promise<number> {
  const [row] = await session.rows<{ ms: string | number }>(
    "SELECT DATEDIFF_BIG(millisecond, '1970-01-01', SYSUTCDATETIME()) AS ms",
  );
  return Number(row!.ms);
}

async function may(session: Session, permission: string, database?: string): Promise<boolean> {
  const on = database === undefined ? 'NULL, NULL' : `N'${database.replaceAll("'", "''")}', 'DATABASE'`;
  const [row] = await session.rows<{ may: number | null }>(
    `SELECT HAS_PERMS_BY_NAME(${on}, '${permission}') AS may`,
  );
  return Number(row?.may ?? 0) === 1;
}

/** For a restore: new databases, and who is connected to the old one. */
async function serverFindings(admin: Session, login: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  const warn = (message: string, line: string): void => {
    findings.push({ severity: 'warning', topic: 'privileges', message, fix: { by: 'sql', lines: [line] } });
  };
  const who = identifier(login);
  if (!(await may(admin, 'CREATE ANY DATABASE')))
    warn(
      `login ${login} may not create databases: a restore and a test restore fail`,
      `ALTER SERVER ROLE dbcreator ADD MEMBER ${who}`,
    );
  if (!(await may(admin, 'VIEW SERVER STATE')))
    warn(
      `login ${login} does not see who else is connected: a restore with --overwrite is refused`,
      `GRANT VIEW SERVER STATE TO ${who}`,
    );
  return findings;
}

async function databaseFindings(
  server: Server,
  admin: Session,
  database: string,
  login: string,
): Promise<Finding[]> {
  const { options } = server.source;
  const facts = await readDatabase(admin, database);
  const about = { subject: database } as const;
  if (facts === undefined) {
    const message = `there is no such database, or login ${login} may not see it`;
    return [{ ...about, severity: 'problem', topic: 'connection', message }];
  }
  let session: Session;
  try {
    session = await server.open(database);
  } catch (error) {
    const who = identifier(login);
    return [
      {
        ...about,
        severity: 'problem',
        topic: failureKind(error) === 'auth_failed' ? 'privileges' : 'connection',
        message: `login ${login} cannot enter it: ${errorText(error)}`,
        fix: { by: 'sql', database, lines: [`CREATE USER ${who} FOR LOGIN ${who}`] },
      },
    ];
  }
  const findings: Finding[] = [];
  try {
    const user = identifier(login);
    if (options.server_path !== undefined && !(await may(session, 'BACKUP DATABASE', database))) {
      findings.push({
        ...about,
        severity: 'problem',
        topic: 'privileges',
        message: `login ${login} may not back it up`,
        fix: { by: 'sql', database, lines: [`ALTER ROLE db_backupoperator ADD MEMBER ${user}`] },
      });
    }
    if (!(await may(session, 'SELECT', database))) {
      findings.push({
        ...about,
        severity: options.server_path === undefined ? 'problem' : 'warning',
        topic: 'privileges',
        message: `login ${login} may not read all tables: a JSONL export fails, and counts are missing`,
        fix: {
          by: 'sql',
          database,
          lines: [`ALTER ROLE db_datareader ADD MEMBER ${user}`, `GRANT VIEW DEFINITION TO ${user}`],
        },
      });
    }
    if (!facts.snapshotIsolation && !facts.readOnly) {
      findings.push({
        ...about,
        severity: options.server_path === undefined ? 'problem' : 'notice',
        topic: 'consistency',
        message: 'it allows no snapshot: a JSONL export is refused',
        fix: { by: 'sql', lines: [`ALTER DATABASE ${identifier(database)} SET ALLOW_SNAPSHOT_ISOLATION ON`] },
      });
    }
    if (facts.bound.length > 0) {
      const message = `it is ${facts.bound.join(', ')}: a restore in its place is refused, one beside it (--to-database) works`;
      findings.push({ ...about, severity: 'notice', topic: 'replication', message });
    }
  } finally {
    await session.close();
  }
  return findings;
}
