import { clockFindings } from '../diagnosis.ts';
import type { DiagnoseRequest, Finding, Fix } from '../health.ts';
import { leftoverFindings } from '../leftovers.ts';
import type { EngineSource } from '../types.ts';
import { listDatabaseNames, listDatabases } from './databases.ts';
import type { MongodbOptions } from './options.ts';
import { isHeld, listMarks, ownCollections } from './restore/marks.ts';
import { undoName } from './restore/restore.ts';
import { isMovable } from './restore/restore-work.ts';
import { listCollections, storedIn } from './server/catalog.ts';
import { openServer, type Server } from './server/connection.ts';
import { scratchDatabase } from './server/names.ts';
import {
  missingActions,
  type Privilege,
  readPrivileges,
  TO_DUMP,
  TO_RESTORE,
  TO_SCRATCH,
} from './server/privileges.ts';
import { probeSnapshot, readServer, type ServerInfo, serverNow } from './server/server-info.ts';

/** What a dump of each database, and a restore in its place, would stumble over. */
export async function diagnoseServer(
  source: EngineSource<MongodbOptions>,
  { job }: DiagnoseRequest,
): Promise<readonly Finding[]> {
  const databases = await listDatabases(source);
  const server = await openServer(source);
  try {
    const info = await readServer(server);
    const rights = await readPrivileges(server);
    const findings: Finding[] = [
      ...(await clockFindings(source.now, async () => (await serverNow(server)).getTime())),
    ];
    const there = await listDatabaseNames(server);
    let consistency: readonly Finding[] | undefined;
    for (const name of databases) {
      if (!there.includes(name)) {
        const message = 'there is no database of this name, or the user may not see it';
        findings.push({ severity: 'problem', topic: 'connection', subject: name, message });
        continue;
      }
      if (rights !== undefined) findings.push(...privilegeFindings(name, rights.user, rights.privileges));
      findings.push(...(await databaseFindings(server, name, info)));
      consistency ??= await consistencyFindings(server, name, info);
    }
    findings.push(...(consistency ?? []));
    for (const name of there) {
      if (databases.includes(name) || /__dg_scratch_/.test(name))
        findings.push(...(await leftovers(server, name, databases, job)));
    }
    return findings;
  } finally {
    await server.close();
  }
}

function inShell(...lines: string[]): Fix {
  const quoted = lines.map((line) => line.replaceAll("'", "'\\''"));
  return { by: 'shell', lines: quoted.map((line) => `mongosh URI-OF-AN-ADMINISTRATOR --eval '${line}'`) };
}

function grantFix(user: string, role: string, database: string): Fix {
  const grant = JSON.stringify([{ role, db: database }]);
  return inShell(`db.getSiblingDB("admin").grantRolesToUser(${JSON.stringify(user)}, ${grant})`);
}

/** Exported for tests: no server at hand has roles. */
export function privilegeFindings(
  database: string,
  user: string,
  privileges: readonly Privilege[],
): Finding[] {
  const unread = missingActions(privileges, database, TO_DUMP);
  if (unread.length > 0) {
    return [
      {
        severity: 'problem',
        topic: 'privileges',
        subject: database,
        message: `${user} lacks ${unread.join(', ')}: a backup fails, or leaves out what it cannot see`,
        fix: grantFix(user, 'backup', 'admin'),
      },
    ];
  }
  const findings: Finding[] = [];
  const warn = (message: string) =>
    findings.push({
      severity: 'warning',
      topic: 'privileges',
      subject: database,
      message,
      fix: grantFix(user, 'restore', 'admin'),
    });
  const unwritten = missingActions(privileges, database, TO_RESTORE);
  if (unwritten.length > 0) warn(`${user} lacks ${unwritten.join(', ')}: a restore with this user fails`);
  const beside = missingActions(privileges, scratchDatabase(database, '00000000'), TO_SCRATCH);
  if (beside.length > 0)
    warn(`${user} may not make a database beside it: a test restore with this user fails`);
  return findings;
}

async function databaseFindings(server: Server, name: string, info: ServerInfo): Promise<Finding[]> {
  const db = server.client.db(name);
  const own = await ownCollections(db);
  const fixed = (await listCollections(db, false)).filter(
    (one) => one.type !== 'view' && !own.has(one.name) && !isMovable(one, info),
  );
  if (fixed.length === 0) return [];
  const names = fixed.slice(0, 10).map((one) => one.name);
  return [
    {
      severity: 'notice',
      topic: 'support',
      subject: name,
      message: `the server cannot rename ${names.join(', ')}${fixed.length > 10 ? `, and ${fixed.length - 10} more` : ''}: a restore in their place copies them, and needs room for that`,
    },
  ];
}

/** How long a server keeps what a snapshot reads, by default: 300 s. */
async function consistencyFindings(
  server: Server,
  name: string,
  info: ServerInfo,
): Promise<Finding[] | undefined> {
  const db = server.client.db(name);
  const first = (await listCollections(db, false)).map(storedIn).find((stored) => stored !== undefined);
  if (first === undefined) return undefined;
  const about = { topic: 'consistency' } as const;
  if ((await probeSnapshot(db, first, info)) === undefined) {
    const message =
      'the server has no snapshots to read from: under writes, the collections of a backup are not of one moment';
    const initiate = info.product === 'MongoDB' && info.role === 'standalone';
    const fix = inShell('rs.initiate()');
    return [
      {
        ...about,
        severity: 'warning',
        message: initiate
          ? `${message}; a replica set, of one member even, has them (start mongod with --replSet)`
          : message,
        ...(initiate ? { fix } : {}),
      },
    ];
  }
  const window = await server.client
    .db('admin')
    .command({ getParameter: 1, minSnapshotHistoryWindowInSeconds: 1 })
    .then((answer) => Number(answer['minSnapshotHistoryWindowInSeconds']))
    .catch(() => Number.NaN);
  if (!(window < 3600)) return [];
  return [
    {
      ...about,
      severity: 'notice',
      message: `the server keeps its snapshots for ${window} s: a dump that takes longer fails`,
      fix: inShell('db.adminCommand({setParameter: 1, minSnapshotHistoryWindowInSeconds: 3600})'),
    },
  ];
}

async function leftovers(
  server: Server,
  name: string,
  databases: readonly string[],
  job: string | undefined,
): Promise<Finding[]> {
  const now = await serverNow(server);
  const marks = await listMarks(server.client.db(name));
  const ours = marks
    .filter(({ target }) => databases.includes(target))
    .map((mark) => ({
      name:
        mark.role === 'scratch' ? name : `${name}.${undoName(mark._id)}`.replace('_undo_', `_${mark.role}_`),
      role: mark.role,
      target: mark.target,
      backupId: mark.backupId,
      inUse: isHeld(mark, server.source.host, now),
    }));
  return leftoverFindings(ours, { targets: databases, datasource: server.source.name }, job);
}
