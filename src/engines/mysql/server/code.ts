import { errorText } from '../../../errors.ts';
import { type CodeKind, rewriteCode } from '../sql/rewrite.ts';
import { serverErrorNumber } from './failures.ts';
import { identifier, literal, type Session } from './session.ts';

/** A view, trigger, routine, package or event of a schema, with all that a statement cannot say. */
export interface CodeObject {
  readonly kind: CodeKind;
  readonly name: string;
  /** The CREATE statement as the server writes it. */
  readonly sql: string;
  readonly sqlMode: string;
  readonly charset: string;
  readonly collation: string;
  readonly timeZone?: string;
  /** Of a trigger: its table, which the statement may write in another case. */
  readonly table?: string;
  readonly definer?: string;
  /** Of an event: how it is set. */
  readonly status?: string;
}

type Row = Record<string, string | null>;

/** What SHOW CREATE says of a view, routine, trigger or event that was dropped since it was listed. */
const GONE = [1146, 1305, 1360, 1539];

/**
 * All code of a schema, in an order in which it can be created, views aside. The session's schema becomes it. Others may
 * drop some meanwhile where `mayGo` says so: that is left out.
 */
export async function readCode(session: Session, schema: string, mayGo = false): Promise<CodeObject[]> {
  await session.run(`USE ${identifier(schema)}`);
  const found: CodeObject[] = [];
  for (const { kind, name, table } of await listCode(session, schema)) {
    const [row] = await session
      .rows<Row>(`SHOW CREATE ${kind.toUpperCase()} ${identifier(name)}`)
      .catch((error: unknown) => {
        if (mayGo && GONE.includes(serverErrorNumber(error) ?? 0)) return ['gone' as const];
        throw error;
      });
    if (row === 'gone') continue;
    const value = (...columns: string[]) =>
      columns.map((column) => row?.[column]).find((text) => text != null);
    const sql = Object.entries(row ?? {}).find(([column]) => /^(Create |SQL Original)/i.test(column))?.[1];
    if (sql == null) {
      throw new Error(
        `the definition of the ${kind} ${name} may not be read: it needs SELECT on mysql.proc, SHOW_ROUTINE or SHOW VIEW`,
      );
    }
    const { definer, eventStatus } = rewriteCode(sql, { definer: 'keep' });
    const timeZone = value('time_zone');
    found.push({
      kind,
      name,
      sql,
      sqlMode: value('sql_mode') ?? '',
      charset: value('character_set_client') ?? 'utf8mb4',
      collation: value('collation_connection') ?? 'utf8mb4_general_ci',
      ...(timeZone === undefined ? {} : { timeZone }),
      ...(table === undefined ? {} : { table }),
      ...(definer === undefined ? {} : { definer }),
      ...(eventStatus === undefined ? {} : { status: eventStatus }),
    });
  }
  return found;
}

/** A piece of code by its name. */
export interface CodeName {
  readonly kind: CodeKind;
  readonly name: string;
  /** When it was created; views do not tell. */
  readonly made?: string;
  /** Of a trigger: its table. */
  readonly table?: string;
}

/** Names of all code of a schema. */
export async function listCode(session: Session, schema: string): Promise<CodeName[]> {
  const own = literal(schema);
  const rows = [
    ...(await session.rows<Row>(
      `SELECT LOWER(ROUTINE_TYPE) AS kind, ROUTINE_NAME AS name, CREATED AS made FROM information_schema.ROUTINES
        WHERE ROUTINE_SCHEMA = ${own} ORDER BY FIELD(ROUTINE_TYPE, 'PACKAGE') DESC, ROUTINE_TYPE, ROUTINE_NAME`,
    )),
    ...(await session.rows<Row>(
      `SELECT 'view' AS kind, TABLE_NAME AS name FROM information_schema.VIEWS
        WHERE TABLE_SCHEMA = ${own} ORDER BY TABLE_NAME`,
    )),
    // Several of one table and time are carried out in the order in which they were created.
    ...(await session.rows<Row>(
      `SELECT 'trigger' AS kind, TRIGGER_NAME AS name, CREATED AS made, EVENT_OBJECT_TABLE AS owner FROM information_schema.TRIGGERS
        WHERE TRIGGER_SCHEMA = ${own}
        ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER`,
    )),
    ...(await session.rows<Row>(
      `SELECT 'event' AS kind, EVENT_NAME AS name, CREATED AS made FROM information_schema.EVENTS
        WHERE EVENT_SCHEMA = ${own} ORDER BY EVENT_NAME`,
    )),
  ];
  return rows.map(({ kind, name, made, owner }) => ({
    kind: kind as CodeKind,
    name: name!,
    ...(made == null ? {} : { made }),
    ...(owner == null ? {} : { table: owner }),
  }));
}

export interface CreateOptions {
  /** The schema whose code it was, and which it becomes. */
  readonly from: string;
  readonly to: string;
  /** What events are set to; undefined: as they were. */
  readonly eventStatus?: (name: string) => string | undefined;
  /** Told of code that runs as this account now, as it may not set the definer. */
  readonly onStripped?: (what: string) => void;
}

/** ER_SPECIFIC_ACCESS_DENIED_ERROR: to set a definer takes SET_ANY_DEFINER, SET USER or SUPER. */
const NOT_ALLOWED = 1227;

/**
 * Creates code in the schema `to`, replacing what has its name. What cannot be created is returned with the
 * reason; the rest is there. Views are tried again until none of them waits for another.
 */
export async function createCode(
  session: Session,
  code: readonly CodeObject[],
  options: CreateOptions,
): Promise<string[]> {
  await session.run(`USE ${identifier(options.to)}`);
  const failed: string[] = [];
  let waiting = code.filter(({ kind }) => kind === 'view');
  const create = async (object: CodeObject) => {
    const what = `${object.kind} ${object.name}`;
    try {
      try {
        await createOne(session, object, options, 'keep');
      } catch (error) {
        // Rather as somebody else than not at all: nothing else holds its text.
        if (serverErrorNumber(error) !== NOT_ALLOWED) throw error;
        await createOne(session, object, options, 'strip');
        options.onStripped?.(what);
      }
      return undefined;
    } catch (error) {
      return `${what}: ${errorText(error)}`;
    }
  };
  for (const object of code.filter(({ kind }) => !['view', 'trigger', 'event'].includes(kind))) {
    const problem = await create(object);
    if (problem !== undefined) failed.push(problem);
  }
  for (let before = Number.POSITIVE_INFINITY; waiting.length > 0; ) {
    const last = waiting.length === before;
    before = waiting.length;
    const still: CodeObject[] = [];
    for (const view of waiting) {
      const problem = await create(view);
      if (problem === undefined) continue;
      still.push(view);
      if (last) failed.push(problem);
    }
    if (last) break;
    waiting = still;
  }
  for (const object of code.filter(({ kind }) => ['trigger', 'event'].includes(kind))) {
    const problem = await create(object);
    if (problem !== undefined) failed.push(problem);
  }
  await session.run("SET SESSION sql_mode = '', time_zone = '+00:00'");
  await session.run('SET NAMES utf8mb4');
  return failed;
}

async function createOne(
  session: Session,
  object: CodeObject,
  options: CreateOptions,
  definer: 'keep' | 'strip',
): Promise<void> {
  const status = object.kind === 'event' ? options.eventStatus?.(object.name) : undefined;
  const { sql } = rewriteCode(object.sql, {
    definer,
    schema: options,
    mode: object.sqlMode,
    ...(status === undefined ? {} : { eventStatus: status }),
  });
  await dropOne(session, options.to, object);
  // What the statement is sent in is UTF-8; another character set can be said only where it makes no difference.
  const plain =
    [...sql].every((char) => char.charCodeAt(0) < 0x80) && !/^(ucs2|utf16|utf32)/.test(object.charset);
  const charset = plain ? object.charset : 'utf8mb4';
  await session.run(
    `SET SESSION character_set_client = ${charset}, collation_connection = ${object.collation},
      sql_mode = ${literal(object.sqlMode)}, time_zone = ${literal(object.timeZone ?? '+00:00')}`,
  );
  try {
    await session.run(sql);
  } finally {
    await session.run("SET SESSION character_set_client = utf8mb4, sql_mode = ''").catch(() => {});
  }
}

/** Removes code, where it is there. */
export async function dropCode(
  session: Session,
  schema: string,
  code: readonly Pick<CodeObject, 'kind' | 'name'>[],
): Promise<void> {
  for (const object of code) await dropOne(session, schema, object);
}

async function dropOne(
  session: Session,
  schema: string,
  { kind, name }: Pick<CodeObject, 'kind' | 'name'>,
): Promise<void> {
  const drop = `DROP ${kind.toUpperCase()} IF EXISTS ${identifier(schema)}.${identifier(name)}`;
  // Before 11 MariaDB knows packages in this mode alone.
  const inMode = kind.startsWith('package');
  if (inMode) await session.run("SET SESSION sql_mode = 'ORACLE'");
  try {
    await session.run(drop);
  } finally {
    if (inMode) await session.run("SET SESSION sql_mode = ''").catch(() => {});
  }
}
