import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { giveUpWhenGone } from '../../unbroken.ts';
import { listTables, OWN_PREFIX, readSchema, type SchemaFacts, type TableInfo } from '../server/catalog.ts';
import { type CodeObject, createCode, dropCode, listCode, readCode } from '../server/code.ts';
import type { Server } from '../server/server.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import { type Interrupt, runInterruptibly } from './interruptible.ts';
import { MARK_TABLE, type Mark, readMark, takeHold, writeMark } from './marks.ts';
import { createMarked, dropMarked, withFreshSession } from './place.ts';
import { type SwapPlan, writePlan } from './swap-plan.ts';

/** Renamed in the one statement that swaps: its name says whether that statement was carried out. */
const BEFORE = `${OWN_PREFIX}before`;
const AFTER = `${OWN_PREFIX}after`;
/** How long each statement that swaps waits for transactions of others; queries queue up behind it meanwhile. */
const LOCK_WAIT_S = 30;

export interface SwapRequest {
  readonly target: string;
  /** A marked schema whose tables are to be the target's. */
  readonly incoming: string;
  /** Only tables that `incoming` has are replaced; everything else stays, the code too. */
  readonly merge: boolean;
  /** Tables that leave although nothing takes their place. */
  readonly also?: readonly string[];
  readonly backupId: string;
  readonly createdAt: string;
  readonly newDefaults: SchemaFacts;
}

/**
 * Swaps over a connection of its own that an interrupt does not break: what has begun is finished, or put back at
 * once. `holder` is the session that holds the incoming schema. Errors: those of `swapSchemas`, the interrupt where
 * it came in time.
 */
export async function swapUnbroken(
  server: Server,
  holder: Session,
  request: SwapRequest,
  warn: (warning: Warning) => void,
): Promise<string | undefined> {
  const { signal } = server.source;
  throwIfAborted(signal);
  const broken = new AbortController();
  const ended = giveUpWhenGone(
    signal,
    () => withFreshSession(server, (other) => other.run('DO 0')),
    () => broken.abort(signal.reason),
  );
  const swap = async (session: Session) => {
    await takeHold(holder, session, request.incoming);
    return await swapSchemas(session, request, warn, {
      signal,
      stop: (connection) =>
        withFreshSession(server, (other) => other.run(`KILL QUERY ${connection}`)).catch(() => {}),
    });
  };
  try {
    return await withFreshSession(server, swap, broken.signal);
  } finally {
    ended();
  }
}

/**
 * Gives a target the tables of another schema by one RENAME TABLE, and its code before and after that. What
 * was there is kept in a schema for undo, whose name is returned; undefined where nothing was there.
 *
 * MySQL refuses to move tables with triggers, and does not move views, routines and events: they are created
 * anew from their definitions, which lie in the journal first.
 */
async function swapSchemas(
  session: Session,
  request: SwapRequest,
  warn: (warning: Warning) => void,
  interrupt: Interrupt,
): Promise<string | undefined> {
  const plan = await prepareSwap(session, request);
  try {
    await runInterruptibly(session, interrupt, async () => {
      await session.run(`CREATE TABLE ${identifier(plan.undo)}.${identifier(BEFORE)} (n INT) ENGINE=InnoDB`);
      await writePlan(session, plan);
      await session.run(`SET SESSION lock_wait_timeout = ${LOCK_WAIT_S}`);
      await dropCode(session, plan.incoming, triggersOf(plan.newCode));
      await dropCode(session, plan.target, firstToLeave(plan));
      throwIfAborted(interrupt.signal);
      await session.run(renameStatement(plan));
    });
  } catch (error) {
    const reverted = await revertSwap(session, plan, warn).then(
      () => true,
      () => false,
    );
    if (reverted) throwIfAborted(interrupt.signal);
    throw new DguardError('target_failed', `the databases could not be swapped: ${errorText(error)}`, {
      operation: 'swap',
      subject: plan.target,
      hint: reverted ? 'the target is as it was' : 'the next command puts it back: dguard restore --recover',
      cause: error,
    });
  }
  return await finishSwap(session, plan, warn);
}

async function prepareSwap(session: Session, request: SwapRequest): Promise<SwapPlan> {
  const { target, incoming, merge, backupId, createdAt } = request;
  const movable = (tables: readonly TableInfo[]) =>
    tables.filter(({ kind }) => kind !== 'view').map(({ name }) => name);
  const entering = movable(await listTables(session, incoming));
  const there = movable(await listTables(session, target));
  const leaving = merge
    ? there.filter((name) => entering.includes(name) || request.also?.includes(name))
    : there;
  const concerned = (names: readonly string[]) => (code: CodeObject) =>
    !merge || (code.kind === 'trigger' && names.includes(code.table ?? ''));
  const oldCode = (await readCode(session, target)).filter(concerned(leaving));
  const newCode = (await readCode(session, incoming)).filter(concerned(entering));
  const oldDefaults = (await readSchema(session, target))!;
  const incomingMark = (await readMark(session, incoming))!;
  const mark: Mark = { role: 'swap', target, backupId, createdAt };
  const undo = await createMarked(session, mark, oldDefaults);
  return {
    target,
    incoming,
    undo,
    leaving,
    entering,
    oldCode,
    newCode,
    newEvents: incomingMark.events ?? {},
    oldDefaults,
    newDefaults: merge ? oldDefaults : request.newDefaults,
    backupId,
    createdAt,
    incomingMark,
    merge,
  };
}

/** What has to be gone before the tables move: triggers, events that would fire meanwhile, views in the way. */
function firstToLeave(plan: SwapPlan): readonly CodeObject[] {
  return plan.oldCode.filter(
    ({ kind, name }) =>
      kind === 'trigger' || kind === 'event' || (kind === 'view' && plan.entering.includes(name)),
  );
}

function triggersOf(code: readonly CodeObject[]): readonly CodeObject[] {
  return code.filter(({ kind }) => kind === 'trigger');
}

function renameStatement(plan: SwapPlan): string {
  const move = (name: string, from: string, to: string, as = name) =>
    `${identifier(from)}.${identifier(name)} TO ${identifier(to)}.${identifier(as)}`;
  const moves = [
    ...plan.leaving.map((name) => move(name, plan.target, plan.undo)),
    ...plan.entering.map((name) => move(name, plan.incoming, plan.target)),
    move(BEFORE, plan.undo, plan.undo, AFTER),
  ];
  return `RENAME TABLE ${moves.join(', ')}`;
}

/** Was the statement that swaps carried out? */
export async function isSwapped(session: Session, undo: string): Promise<boolean> {
  const rows = await session.rows(
    `SELECT TABLE_NAME AS name FROM information_schema.TABLES
      WHERE TABLE_SCHEMA = ${literal(undo)} AND TABLE_NAME = ${literal(AFTER)}`,
  );
  return rows.length > 0;
}

/** The rest of a swap whose tables have moved; safe to repeat after any interruption. */
export async function finishSwap(
  session: Session,
  plan: SwapPlan,
  warn: (warning: Warning) => void,
): Promise<string | undefined> {
  const { target, undo, incoming } = plan;
  const tell = (problems: readonly string[]) => {
    for (const problem of problems)
      warn({ message: `not created: ${problem}`, subject: target, partial: true });
  };
  const onStripped = strippedTeller(target, warn);
  await setDefaults(session, target, plan.newDefaults);
  const stays = new Set(plan.newCode.map(({ kind, name }) => `${kind} ${name}`));
  await dropCode(
    session,
    target,
    plan.oldCode.filter(({ kind, name }) => !stays.has(`${kind} ${name}`)),
  );
  tell(
    await createCode(session, plan.newCode, {
      from: incoming,
      to: target,
      eventStatus: (name) => plan.newEvents[name],
      onStripped,
    }),
  );
  const nothing = plan.leaving.length === 0 && plan.oldCode.length === 0;
  const added = plan.entering.filter((name) => !plan.leaving.includes(name));
  if (!nothing || (plan.merge && added.length > 0)) {
    const disabled = () => 'DISABLE';
    tell(
      await createCode(session, plan.oldCode, { from: target, to: undo, eventStatus: disabled, onStripped }),
    );
    const events = Object.fromEntries(
      plan.oldCode.flatMap(({ name, status }) => (status === undefined ? [] : [[name, status]])),
    );
    await writeMark(session, undo, {
      role: 'undo',
      target,
      backupId: plan.backupId,
      createdAt: plan.createdAt,
      events,
      ...(plan.merge ? { merge: { added } } : {}),
    });
  }
  if ((await readSchema(session, incoming)) !== undefined) {
    await refuseTables(session, incoming);
    await dropMarked(session, incoming);
  }
  if (nothing && !(plan.merge && added.length > 0)) {
    await refuseTables(session, undo);
    await dropMarked(session, undo);
    return undefined;
  }
  await session.run(`DROP TABLE IF EXISTS ${identifier(undo)}.${identifier(AFTER)}`);
  await session.run(`DELETE FROM ${identifier(undo)}.${identifier(MARK_TABLE)} WHERE LEFT(id, 4) = 'plan'`);
  return undo;
}

/**
 * Puts a target back whose tables have not moved, or, on a server that moves them one by one, not all. Safe
 * to repeat.
 */
export async function revertSwap(
  session: Session,
  plan: SwapPlan,
  warn: (warning: Warning) => void,
): Promise<void> {
  const { target, undo, incoming } = plan;
  const names = async (schema: string) =>
    new Set(
      (await listTables(session, schema)).filter(({ kind }) => kind !== 'view').map(({ name }) => name),
    );
  const [inTarget, inUndo, inIncoming] = [await names(target), await names(undo), await names(incoming)];
  const moves: string[] = [];
  for (const name of plan.entering) {
    const came =
      inTarget.has(name) && !inIncoming.has(name) && (inUndo.has(name) || !plan.leaving.includes(name));
    if (came) moves.push(`${qualified(target, name)} TO ${qualified(incoming, name)}`);
  }
  for (const name of plan.leaving) {
    if (inUndo.has(name)) moves.push(`${qualified(undo, name)} TO ${qualified(target, name)}`);
  }
  if (moves.length > 0) await session.run(`RENAME TABLE ${moves.join(', ')}`);
  const there = new Set((await listCode(session, target)).map(({ kind, name }) => `${kind} ${name}`));
  const missing = plan.oldCode.filter(({ kind, name }) => !there.has(`${kind} ${name}`));
  const onStripped = strippedTeller(target, warn);
  const failed = await createCode(session, missing, { from: target, to: target, onStripped });
  if (plan.incomingMark.role === 'undo') {
    // An undo copy stays one, with its triggers.
    failed.push(...(await createCode(session, triggersOf(plan.newCode), { from: incoming, to: incoming })));
  }
  if (failed.length > 0) {
    throw new DguardError('target_failed', `not put back: ${failed.join('; ')}`, {
      operation: 'revert',
      subject: target,
      hint: `the definitions are in ${undo}.${MARK_TABLE}`,
    });
  }
  await refuseTables(session, undo);
  await dropMarked(session, undo);
}

function strippedTeller(target: string, warn: (warning: Warning) => void): (what: string) => void {
  return (what) => {
    const message = `${what} runs as this account now, which may not set its definer`;
    warn({ message, subject: target, partial: false });
  };
}

/** Nothing that holds anybody's tables is dropped as if it were empty. */
async function refuseTables(session: Session, schema: string): Promise<void> {
  const left = (await listTables(session, schema)).filter(({ kind }) => kind !== 'view');
  if (left.length === 0) return;
  throw new DguardError(
    'target_failed',
    `tables were left in ${schema}: ${left.map(({ name }) => name).join(', ')}`,
    {
      operation: 'swap',
      subject: schema,
      hint: 'move them where they belong, and run the command again',
    },
  );
}

async function setDefaults(session: Session, schema: string, facts: SchemaFacts): Promise<void> {
  const collate = facts.collation === '' ? '' : ` COLLATE ${facts.collation}`;
  await session.run(`ALTER DATABASE ${identifier(schema)} CHARACTER SET ${facts.charset}${collate}`);
}

function qualified(schema: string, name: string): string {
  return `${identifier(schema)}.${identifier(name)}`;
}
