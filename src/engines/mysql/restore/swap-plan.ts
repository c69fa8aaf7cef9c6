import { listTables, OWN_PREFIX, readSchema, type SchemaFacts, type TableInfo } from '../server/catalog.ts';
import { type CodeObject, readCode } from '../server/code.ts';
import { type ForeignKey, readOutwardKeys } from '../server/foreign-keys.ts';
import { readServer, storedName } from '../server/server-info.ts';
import { identifier, type Session } from '../server/session.ts';
import { MARK_TABLE, type Mark, readDocuments, readMark, writeDocument } from './marks.ts';
import { createMarked } from './place.ts';

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
  /**
   * Foreign keys of tables that leave, to what stays: an undo copy has none, which would keep others from deleting
   * there, or lose rows itself when they do. And of tables that enter, to what is at the target.
   */
  readonly oldKeys: readonly ForeignKey[];
  readonly newKeys: readonly ForeignKey[];
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

/** Renamed in the one statement that swaps: its name says whether that statement was carried out. */
export const BEFORE = `${OWN_PREFIX}before`;
export const AFTER = `${OWN_PREFIX}after`;

const PREFIX = 'plan';

/** Looks at both sides of a swap, and makes the schema for what leaves. */
export async function makePlan(session: Session, request: SwapRequest): Promise<SwapPlan> {
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
  const oldKeys = await readOutwardKeys(session, target, leaving);
  const newKeys = await enteringKeys(session, request, entering, incomingMark);
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
    oldKeys,
    newKeys,
    newEvents: incomingMark.events ?? {},
    oldDefaults,
    newDefaults: merge ? oldDefaults : request.newDefaults,
    backupId,
    createdAt,
    incomingMark,
    merge,
  };
}

/** A chosen table was loaded without what its foreign keys refer to: that is at the target, not beside it. */
async function enteringKeys(
  session: Session,
  { target, incoming }: SwapRequest,
  entering: readonly string[],
  mark: Mark,
): Promise<readonly ForeignKey[]> {
  const own = (await readOutwardKeys(session, incoming, entering)).filter(
    ({ references }) => references.schema === incoming,
  );
  const moved = own.map((key) => ({ ...key, references: { ...key.references, schema: target } }));
  return [...moved, ...(mark.keys ?? [])];
}

export function triggersOf(code: readonly CodeObject[]): readonly CodeObject[] {
  return code.filter(({ kind }) => kind === 'trigger');
}

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

/** The plan in a schema, of databases as the server calls them (see `listMarked`); undefined where none was written to its end. */
export async function readPlan(session: Session, undo: string): Promise<SwapPlan | undefined> {
  const [rest] = (await readDocuments(session, undo, PREFIX)).filter(
    (document) => (document as { leaving?: unknown }).leaving !== undefined,
  ) as Omit<SwapPlan, 'oldCode' | 'newCode'>[];
  if (rest === undefined) return undefined;
  const { lowerCaseTableNames: folding } = await readServer(session);
  return {
    // An older dguard's plan has no keys.
    ...{ oldKeys: [], newKeys: [] },
    ...rest,
    target: storedName(rest.target, folding),
    incoming: storedName(rest.incoming, folding),
    undo: storedName(rest.undo, folding),
    oldCode: (await readDocuments(session, undo, `${PREFIX}-old-`)) as CodeObject[],
    newCode: (await readDocuments(session, undo, `${PREFIX}-new-`)) as CodeObject[],
  };
}

/** A swap that is finished is not to be finished again. */
export async function forgetPlan(session: Session, undo: string): Promise<void> {
  const table = `${identifier(undo)}.${identifier(MARK_TABLE)}`;
  await session.run(`DELETE FROM ${table} WHERE LEFT(id, ${PREFIX.length}) = '${PREFIX}'`);
}
