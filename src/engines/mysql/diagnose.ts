import { clockFindings, toolFindings } from '../diagnosis.ts';
import type { DiagnoseRequest, Finding } from '../health.ts';
import { leftoverFindings } from '../leftovers.ts';
import type { EngineSource } from '../types.ts';
import { listDatabases } from './databases.ts';
import type { MysqlOptions } from './options.ts';
import { besideName, listMarked } from './restore/marks.ts';
import { listTables, readSchema } from './server/catalog.ts';
import {
  account,
  escaped,
  grantRoutines,
  grantToDump,
  maySetDefiner,
  type Privileges,
  readPrivileges,
  seesRoutines,
  TO_DUMP,
} from './server/privileges.ts';
import { openServer } from './server/server.ts';
import { readServer, type ServerInfo, storedName } from './server/server-info.ts';
import { identifier, literal, type Session } from './server/session.ts';
import { compareVersions } from './server/tools.ts';

/** What a dump of each schema, and a restore in its place, would stumble over. */
export async function diagnoseServer(
  source: EngineSource<MysqlOptions>,
  { job }: DiagnoseRequest,
): Promise<readonly Finding[]> {
  const said: Finding[] = [];
  // What choosing the tools warns of is what is asked for here.
  const warn: typeof source.warn = ({ message }) =>
    said.push({ severity: 'warning', topic: 'tools', message });
  const server = openServer({ ...source, warn });
  let session: Session | undefined;
  try {
    const schemas = await listDatabases(source);
    session = await server.open();
    const open = session;
    const info = await readServer(open);
    const privileges = await readPrivileges(open);
    const findings: Finding[] = [
      ...(await clockFindings(source.now, () => readClock(open))),
      ...(await toolFindings(
        () => server.tools(info),
        () => said,
      )),
      ...(await serverFindings(open, info, privileges)),
    ];
    for (const schema of schemas)
      findings.push(...(await schemaFindings(open, schema, info, privileges, source.options)));
    const stored = schemas.map((schema) => storedName(schema, info.lowerCaseTableNames));
    const targets = source.options.all_databases ? [] : stored;
    const owned = { targets, datasource: source.name };
    return [...findings, ...leftoverFindings(await listMarked(open), owned, job)];
  } finally {
    await session?.close();
    await server.dispose();
  }
}

async function readClock(session: Session): Promise<number> {
  const [row] = await session.rows<{ s: string }>('SELECT UNIX_TIMESTAMP(SYSDATE(6)) AS s');
  return Math.round(Number(row!.s) * 1000);
}

async function serverFindings(
  session: Session,
  info: ServerInfo,
  privileges: Privileges,
): Promise<Finding[]> {
  const who = account(info.user);
  const findings: Finding[] = [];
  if (privileges.has(['RELOAD']) === false) {
    findings.push({
      severity: 'warning',
      topic: 'privileges',
      message: `${who} may not hold up commits for a moment: parallel_jobs has no effect, and of tables without transactions rows are counted at a slightly other moment than they are dumped`,
      fix: { by: 'sql', lines: [`GRANT RELOAD ON *.* TO ${who}`] },
    });
  }
  if (privileges.has(['PROCESS']) === false) {
    findings.push({
      severity: 'notice',
      topic: 'privileges',
      message: `${who} may not read the ids of tables: a backup does not notice when a partition is exchanged while it runs${info.flavour === 'mysql' ? ', or a table swapped for one that was made in the same second' : ''}`,
      fix: { by: 'sql', lines: [`GRANT PROCESS ON *.* TO ${who}`] },
    });
  }
  return [...findings, ...(await transactionFindings(session))];
}

/** What has been open for long holds up whoever alters a table, and all that come after. */
async function transactionFindings(session: Session): Promise<Finding[]> {
  const rows = await session
    .rows<{ id: string; minutes: string }>(
      `SELECT trx_mysql_thread_id AS id, TIMESTAMPDIFF(MINUTE, trx_started, SYSDATE()) AS minutes
        FROM information_schema.INNODB_TRX WHERE trx_started < SYSDATE() - INTERVAL 1 HOUR AND trx_mysql_thread_id > 0`,
    )
    .catch(() => []); // needs PROCESS
  return rows.map(({ id, minutes }) => ({
    severity: 'notice',
    topic: 'locks',
    message: `connection ${id} has had a transaction open for ${minutes} min`,
    fix: { by: 'sql', lines: [`KILL ${id}`] },
  }));
}

const TO_RESTORE = [
  'CREATE',
  'DROP',
  'ALTER',
  'INDEX',
  'INSERT',
  'UPDATE',
  'DELETE',
  'REFERENCES',
  'LOCK TABLES',
  'CREATE VIEW',
  'CREATE ROUTINE',
  'ALTER ROUTINE',
  ...TO_DUMP,
];

async function schemaFindings(
  session: Session,
  schema: string,
  info: ServerInfo,
  privileges: Privileges,
  { hidden_routines: hiddenRoutines }: MysqlOptions,
): Promise<Finding[]> {
  const who = account(info.user);
  const on = (pattern: string) => `${identifier(pattern)}.*`;
  const lacks = (names: readonly string[], of: string) =>
    names.filter((name) => privileges.has([name], of) === false);
  const findings: Finding[] = [];
  const unseen = lacks(TO_DUMP, schema);
  if (unseen.length > 0) {
    findings.push({
      severity: 'problem',
      topic: 'privileges',
      subject: schema,
      message: `${who} lacks ${unseen.join(', ')}: a backup fails, as it would leave out what it cannot see`,
      fix: { by: 'sql', lines: [grantToDump(unseen, schema, info, privileges)] },
    });
  }
  if (hiddenRoutines !== 'ignore' && !(await seesRoutines(session, info, privileges, schema))) {
    findings.push({
      severity: 'warning',
      topic: 'privileges',
      subject: schema,
      message: `${who} may not see procedures and functions of others: if there are any, a backup lacks them, and it is partial`,
      fix: { by: 'sql', lines: [grantRoutines(info)] },
    });
  }
  const unreadable = await session.rows<{ name: string }>(
    `SELECT ROUTINE_NAME AS name FROM information_schema.ROUTINES
      WHERE ROUTINE_SCHEMA = ${literal(schema)} AND ROUTINE_DEFINITION IS NULL AND ROUTINE_BODY = 'SQL' ORDER BY ROUTINE_NAME`,
  );
  if (unreadable.length > 0) {
    findings.push({
      severity: 'problem',
      topic: 'privileges',
      subject: schema,
      message: `${who} may not read the text of procedures and functions (${unreadable
        .slice(0, 5)
        .map(({ name }) => name)
        .join(', ')}): a backup fails`,
      fix: { by: 'sql', lines: [grantRoutines(info)] },
    });
  }
  if ((await readSchema(session, schema)) === undefined && unseen.length === 0) {
    const message = 'there is no database of this name';
    return [...findings, { severity: 'problem', topic: 'connection', subject: schema, message }];
  }
  // Only the most specific of the patterns that match a schema counts, so both are granted.
  const beside = besideName(schema, 'new', '00000000');
  if (lacks(TO_RESTORE, schema).length > 0 || lacks(TO_RESTORE, beside).length > 0) {
    findings.push({
      severity: 'warning',
      topic: 'privileges',
      subject: schema,
      message: `${who} may not create databases beside it, or fill them: a restore or a test restore with this account fails`,
      fix: {
        by: 'sql',
        lines: [escaped(schema), `${escaped(schema)}%`].map(
          (pattern) => `GRANT ALL PRIVILEGES ON ${on(pattern)} TO ${who}`,
        ),
      },
    });
  }
  return [
    ...findings,
    ...(await engineFindings(session, schema)),
    ...(await definerFindings(session, schema, info, privileges)),
  ];
}

async function engineFindings(session: Session, schema: string): Promise<Finding[]> {
  const unsafe = (await listTables(session, schema)).filter(
    ({ kind, transactional }) => kind === 'table' && !transactional,
  );
  if (unsafe.length === 0) return [];
  const named = unsafe.slice(0, 10).map(({ name, engine }) => `${name} (${engine})`);
  return [
    {
      severity: 'warning',
      topic: 'consistency',
      subject: schema,
      message: `tables without transactions may change while they are dumped: ${named.join(', ')}${unsafe.length > 10 ? `, and ${unsafe.length - 10} more` : ''}`,
      fix: {
        by: 'sql',
        database: schema,
        lines: unsafe.map(
          ({ name }) => `ALTER TABLE ${identifier(schema)}.${identifier(name)} ENGINE=InnoDB`,
        ),
      },
    },
  ];
}

/** Code runs as its definer: making it somebody else's needs a privilege, and with a binary log one more. */
async function definerFindings(
  session: Session,
  schema: string,
  info: ServerInfo,
  privileges: Privileges,
): Promise<Finding[]> {
  const who = account(info.user);
  const own = literal(schema);
  const rows = await session.rows<{ kind: string; definer: string }>(
    `SELECT 'view' AS kind, DEFINER AS definer FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ${own}
      UNION SELECT 'trigger', DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ${own}
      UNION SELECT 'event', DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ${own}
      UNION SELECT LOWER(ROUTINE_TYPE), DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ${own}`,
  );
  const findings: Finding[] = [];
  const others = [...new Set(rows.map(({ definer }) => definer))].filter((definer) => definer !== info.user);
  const names = others.slice(0, 5).join(', ');
  const grant = (message: string, privilege: string): Finding => ({
    severity: 'warning',
    topic: 'privileges',
    subject: schema,
    message,
    fix: { by: 'sql', lines: [`GRANT ${privilege} ON *.* TO ${who}`] },
  });
  if (others.length > 0 && !(await maySetDefiner(session))) {
    const message = `views, triggers, routines or events run as ${names}: with ${who} a restore cannot say so`;
    findings.push(grant(message, definerPrivilege(info)));
  }
  if (
    others.length > 0 &&
    privileges.has(['SYSTEM_USER']) === false &&
    (await hasSystemUsers(session, info))
  ) {
    const message = `where ${names} have SYSTEM_USER themselves, only an account that has it too can make code run as them`;
    findings.push(grant(message, 'SYSTEM_USER'));
  }
  const logged = rows.some(({ kind }) => kind === 'trigger' || kind === 'function');
  if (logged && info.flavour === 'mysql' && privileges.has(['SUPER']) === false) {
    const [row] = await session
      .rows<{ log: string; trust: string }>(
        'SELECT @@log_bin AS log, @@log_bin_trust_function_creators AS trust',
      )
      .catch(() => []);
    if (row?.log === '1' && row.trust === '0') {
      findings.push({
        severity: 'warning',
        topic: 'privileges',
        subject: schema,
        message: `the server writes a binary log: ${who} cannot create its triggers and functions at a restore`,
        fix: { by: 'sql', lines: ['SET PERSIST log_bin_trust_function_creators = ON'] },
      });
    }
  }
  return findings;
}

/** Are there accounts with SYSTEM_USER, as far as one may know? https://dev.mysql.com/doc/refman/8.4/en/account-categories.html */
async function hasSystemUsers(session: Session, { flavour, version }: ServerInfo): Promise<boolean> {
  if (flavour !== 'mysql' || compareVersions(version, '8.0.16') < 0) return false;
  return session.rows("SELECT 1 AS one FROM mysql.global_grants WHERE PRIV = 'SYSTEM_USER' LIMIT 1").then(
    (rows) => rows.length > 0,
    () => true,
  );
}

function definerPrivilege({ flavour, version }: ServerInfo): string {
  if (flavour === 'mariadb') return 'SET USER';
  return compareVersions(version, '8.2.0') >= 0 ? 'SET_ANY_DEFINER' : 'SET_USER_ID';
}
