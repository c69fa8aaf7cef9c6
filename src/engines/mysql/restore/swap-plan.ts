import type { SchemaFacts } from '../server/catalog.ts';
import type { CodeObject } from '../server/code.ts';
import type { Session } from '../server/session.ts';
import { type Mark, readDocuments, writeDocument } from './marks.ts';

/** All that a swap needs to be finished or reverted by somebody else, kept in the schema for what is replaced. */
export interface SwapPlan {
  readonly target: string;
  /** Where the new tables are: a loaded schema, or an undo copy. */
  readonly incoming: string;
  /** Where the old ones go. */
  readonly undo: string;
  /** Tables that leave the target, and that come in. */
  readonly leaving: readonly string[];
  readonly entering: readonly string[];
  /** Code that leaves and enters with them: all of it, or, of a merge, the triggers of those tables. */
  readonly oldCode: readonly CodeObject[];
  readonly newCode: readonly CodeObject[];
  /** How the new events are to be set; what is not named stays as its definition says. */
  readonly newEvents: Readonly<Record<string, string>>;
  readonly oldDefaults: SchemaFacts;
  readonly newDefaults: SchemaFacts;
  readonly backupId: string;
  readonly createdAt: string;
  /** The mark of `incoming` before the swap. */
  readonly incomingMark: Mark;
  readonly merge: boolean;
}

const PREFIX = 'plan';

/** Writes the plan, one row for each piece of code: a whole schema's may be larger than a packet. */
export async function writePlan(session: Session, plan: SwapPlan): Promise<void> {
  const { oldCode, newCode, ...rest } = plan;
  for (const [side, code] of [
    ['old', oldCode],
    ['new', newCode],
  ] as const) {
    for (const [at, object] of code.entries()) {
      await writeDocument(session, plan.undo, `${PREFIX}-${side}-${String(at).padStart(6, '0')}`, object);
    }
  }
  // Last: a plan without it is not to be carried out.
  await writeDocument(session, plan.undo, PREFIX, rest);
}

/** The plan in a schema; undefined where none was written to its end. */
export async function readPlan(session: Session, undo: string): Promise<SwapPlan | undefined> {
  const [rest] = (await readDocuments(session, undo, PREFIX)).filter(
    (document) => (document as { leaving?: unknown }).leaving !== undefined,
  ) as Omit<SwapPlan, 'oldCode' | 'newCode'>[];
  if (rest === undefined) return undefined;
  return {
    ...rest,
    oldCode: (await readDocuments(session, undo, `${PREFIX}-old-`)) as CodeObject[],
    newCode: (await readDocuments(session, undo, `${PREFIX}-new-`)) as CodeObject[],
  };
}
