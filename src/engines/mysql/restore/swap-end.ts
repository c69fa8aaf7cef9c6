import { DguardError } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { listTables, readSchema, type SchemaFacts } from '../server/catalog.ts';
import { createCode, dropCode, listCode } from '../server/code.ts';
import { addKeys, dropKeys } from '../server/foreign-keys.ts';
import { identifier, literal, type Session } from '../server/session.ts';
import { MARK_TABLE, writeMark } from './marks.ts';
import { dropMarked } from './place.ts';
import { moveSequenceDefaults } from './sequences.ts';
import { AFTER, forgetPlan, type SwapPlan, triggersOf } from './swap-plan.ts';

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
  const { target, undo, incoming, entering, leaving, oldCode, newCode } = plan;
  const added = entering.filter((name) => !leaving.includes(name));
  const hasOld = leaving.length > 0 || oldCode.length > 0 || (plan.merge && added.length > 0);
  await dropKeys(session, undo, plan.oldKeys);
  tellProblems(await addKeys(session, target, plan.newKeys), target, warn);
  await setDefaults(session, target, plan.newDefaults);
  await moveSequenceDefaults(session, target, incoming);
  await moveSequenceDefaults(session, undo, target);
  const stays = new Set(newCode.map(({ kind, name }) => `${kind} ${name}`));
  const leaves = oldCode.filter(({ kind, name }) => !stays.has(`${kind} ${name}`));
  await dropCode(session, target, leaves);
  const eventStatus = (name: string) => plan.newEvents[name];
  const onStripped = strippedTeller(target, warn);
  const created = { from: incoming, to: target, eventStatus, onStripped };
  tellProblems(await createCode(session, newCode, created), target, warn);
  if (hasOld) await keepForUndo(session, plan, added, warn);
  if ((await readSchema(session, incoming)) !== undefined) {
    await refuseTables(session, incoming);
    await dropMarked(session, incoming);
  }
  if (!hasOld) {
    await refuseTables(session, undo);
    await dropMarked(session, undo);
    return undefined;
  }
  await session.run(`DROP TABLE IF EXISTS ${identifier(undo)}.${identifier(AFTER)}`);
  await forgetPlan(session, undo);
  return undo;
}

/** The code beside the old tables, its events off, and the mark that makes all of it an undo copy. */
async function keepForUndo(
  session: Session,
  plan: SwapPlan,
  added: readonly string[],
  warn: (warning: Warning) => void,
): Promise<void> {
  const { target, undo, oldCode, oldKeys, backupId, createdAt } = plan;
  const onStripped = strippedTeller(target, warn);
  const kept = { from: target, to: undo, eventStatus: () => 'DISABLE', onStripped };
  tellProblems(await createCode(session, oldCode, kept), target, warn);
  const events = Object.fromEntries(
    oldCode.flatMap(({ name, status }) => (status === undefined ? [] : [[name, status]])),
  );
  await writeMark(session, undo, {
    role: 'undo',
    target,
    backupId,
    createdAt,
    events,
    ...(plan.merge ? { merge: { added } } : {}),
    ...(oldKeys.length > 0 ? { keys: oldKeys } : {}),
  });
}

function tellProblems(problems: readonly string[], target: string, warn: (warning: Warning) => void): void {
  for (const problem of problems)
    warn({ message: `not created: ${problem}`, subject: target, partial: true });
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
