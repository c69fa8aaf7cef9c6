import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { giveUpWhenGone } from '../../unbroken.ts';
import { type CodeObject, dropCode } from '../server/code.ts';
import { dropKeys } from '../server/foreign-keys.ts';
import type { Server } from '../server/server.ts';
import { identifier, type Session } from '../server/session.ts';
import { type Interrupt, runInterruptibly } from './interruptible.ts';
import { takeHold } from './marks.ts';
import { withFreshSession } from './place.ts';
import { finishSwap, revertSwap } from './swap-end.ts';
import {
  AFTER,
  BEFORE,
  makePlan,
  type SwapPlan,
  type SwapRequest,
  triggersOf,
  writePlan,
} from './swap-plan.ts';

/** How long each statement that swaps waits for transactions of others; queries queue up behind it meanwhile. */
const LOCK_WAIT_S = 30;

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
    const connection = await takeHold(holder, session, request.incoming);
    return await swapSchemas(session, request, warn, {
      signal,
      stop: () => withFreshSession(server, (other) => other.run(`KILL QUERY ${connection}`)).catch(() => {}),
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
  const plan = await makePlan(session, request);
  try {
    await runInterruptibly(session, interrupt, async () => {
      await session.run(`CREATE TABLE ${identifier(plan.undo)}.${identifier(BEFORE)} (n INT) ENGINE=InnoDB`);
      await writePlan(session, plan);
      await session.run(`SET SESSION lock_wait_timeout = ${LOCK_WAIT_S}`);
      await dropCode(session, plan.incoming, triggersOf(plan.newCode));
      await dropKeys(session, plan.incoming, plan.newKeys);
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

/** What has to be gone before the tables move: triggers, events that would fire meanwhile, views in the way. */
function firstToLeave(plan: SwapPlan): readonly CodeObject[] {
  return plan.oldCode.filter(
    ({ kind, name }) =>
      kind === 'trigger' || kind === 'event' || (kind === 'view' && plan.entering.includes(name)),
  );
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
