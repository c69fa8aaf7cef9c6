import { DguardError, errorText } from '../../../errors.ts';
import type { TableFact } from '../../types.ts';
import { listContents } from '../dump/archive-file.ts';
import { isViewData, parseToc, VIEW_DATA } from '../dump/toc.ts';
import { loadExport } from '../jsonl/jsonl-load.ts';
import { warnOfUnmetTables } from '../select.ts';
import { withFreshSession } from '../server/server.ts';
import { literal, type Session } from '../server/session.ts';
import { listedName, tableOf } from '../server/table-name.ts';
import { analyzeDatabase } from './analyze.ts';
import { type Choice, chooseEntries } from './choice.ts';
import { compareDatabase } from './compare.ts';
import { failedToFill, fillViews, type TellUnfilled, unfilledViews } from './fill-views.ts';
import { type LoadRequest, loadArchive } from './load.ts';
import { isLoadedAgain } from './new-database.ts';
import { dropMarked } from './place.ts';
import type { Work } from './restore-work.ts';

function readRequest(work: Work) {
  const { request } = work;
  let done = 0;
  return {
    tempDir: request.tempDir,
    signal: request.signal,
    onBytes: (count: number) => {
      done += count;
      request.onProgress(done, 0);
    },
  };
}

/** What of the backup is restored. */
export async function choose(work: Work): Promise<Choice> {
  const { content, archive, recorded, request, facts, server, tools } = work;
  const context = { server, tools, read: readRequest(work) };
  const choice = await chooseEntries(content, archive, recorded, request.only, facts, context);
  // A table whose rows are all in its partitions is not among those whose rows were recorded.
  const names = [...recorded.map(({ name }) => name), ...Object.values(facts.parents).flat()];
  const tables = names.map((name) => ({ name, table: tableOf(name) }));
  await warnOfUnmetTables(request.only, tables, request.warn);
  return choice;
}

export interface LoadOptions {
  /** Of pg_restore. */
  readonly flags?: readonly string[];
  /** Of the sessions that load, as `name=value`. */
  readonly settings?: readonly string[];
  /** One in the database. */
  readonly session?: Session;
  /** Told of materialised views that stay empty; undefined: a warning is. */
  readonly tellUnfilled?: TellUnfilled;
  /** Told when all is there but event triggers. */
  readonly onLoaded?: () => void;
}

/** Loads it into a database. */
export async function load(
  work: Work,
  database: string,
  choice: Choice,
  { flags = [], settings = [], session, tellUnfilled, onLoaded }: LoadOptions,
): Promise<void> {
  const request: LoadRequest = {
    server: work.server,
    tools: work.tools,
    database,
    loader: { role: work.powers.role, serverVersionNum: work.version.num },
    flags: [...work.fit.flags, ...flags],
    // pg_restore's other connections wait while one makes a large index; it turns off the other limits of a role itself.
    settings: [
      ...settings,
      ...(work.version.major < 14 ? [] : ['idle_session_timeout=0']),
      ...(work.fit.money === undefined ? [] : [`lc_monetary=${work.fit.money}`]),
    ],
    ...(choice.list === undefined ? {} : { list: choice.list }),
    read: readRequest(work),
    known: work.facts.large_data,
    ...(work.request.parallelJobs === undefined ? {} : { parallelJobs: work.request.parallelJobs }),
  };
  if (session !== undefined) await readMoneyBy(session, work.fit);
  const onUnfilled = tellUnfilled ?? ((names, why) => warnOfUnfilled(work, names, why));
  if (!isExport(work)) {
    await loadArchive(work.content, work.archive, request).catch((error: unknown) => {
      const isFatal = (one: unknown) => isLoadedAgain(one, settings);
      if (session === undefined || flags.includes('--single-transaction')) throw error;
      if (!failedToFill(error) || isFatal(error)) throw error;
      return fillRest(work, choice, session, { tell: onUnfilled, isFatal });
    });
    onLoaded?.();
    return await loadEventTriggers(work, choice, request);
  }
  if (session === undefined) {
    throw new DguardError(
      'unsupported',
      'a JSONL export is loaded table by table, which needs a new database',
      {
        operation: 'restore',
        subject: database,
        hint: `as a superuser: ALTER ROLE "${work.powers.role}" CREATEDB`,
      },
    );
  }
  const tables = new Set(choice.tables.map(({ name }) => name));
  await loadExport(work.content, work.archive, session, { ...request, tables, onUnfilled });
  await loadEventTriggers(work, choice, request);
}

/** Defaults and views that name amounts of money read alike, and are made alike. */
async function readMoneyBy(session: Session, { money }: Work['fit']): Promise<void> {
  if (money !== undefined) await session.run(`SET lc_monetary TO ${literal(money)}`);
}

/** The materialised views of the backup that pg_restore had not filled when it failed at one. */
async function fillRest(
  work: Work,
  choice: Choice,
  session: Session,
  { tell, isFatal }: { readonly tell: TellUnfilled; readonly isFatal: (error: unknown) => boolean },
): Promise<void> {
  const { content, archive, tools, server } = work;
  const list =
    choice.list ?? (await listContents(content, archive, tools, { ...readRequest(work), env: server.env }));
  const filled = parseToc(list).filter(isViewData);
  await session.run("SET search_path TO ''");
  const views = (await unfilledViews(session)).filter(({ schema, table }) =>
    filled.some(({ text }) => text.startsWith(`${VIEW_DATA}${listedName(schema)} ${listedName(table)} `)),
  );
  await fillViews(session, views, tell, isFatal);
}

function warnOfUnfilled({ request, target }: Work, names: readonly string[], why: string): void {
  const message = `materialized views are empty, as they could not be filled: ${names.join(', ')} (${why}); once that is solved: REFRESH MATERIALIZED VIEW`;
  request.warn({ message, subject: target, partial: true });
}

/** After everything that would fire them, refreshed materialised views among it. */
async function loadEventTriggers(work: Work, { eventTriggers }: Choice, request: LoadRequest): Promise<void> {
  if (eventTriggers === undefined) return;
  try {
    await loadArchive(work.content, work.archive, { ...request, list: eventTriggers, serial: true });
  } catch (error) {
    // Beside the target, all goes with its database; inside it, all else is committed.
    const isOwn = error instanceof DguardError && error.code === 'target_failed';
    if (!isOwn || !request.flags.includes('--single-transaction')) throw error;
    throw new DguardError('target_failed', error.message, {
      operation: 'load event triggers',
      subject: request.database,
      hint: 'all but event triggers is restored there: let a superuser make them, or restore again as one',
    });
  }
}

function isExport({ archive }: Work): boolean {
  return archive.kind === 'custom' && archive.jsonl === true;
}

/** Holds the loaded database against the backup's records; what a schema that reads differently means is `schema`. */
export async function compare(
  work: Work,
  session: Session,
  choice: Choice,
  schema: 'refuse' | 'tell' | 'rows',
): Promise<readonly TableFact[]> {
  const { content, facts, version, request, target } = work;
  const sha256 = content.facts.schema_sha256;
  const sameMajor = Math.floor(facts.server_version_num / 10000) === version.major;
  const whole = request.only.length === 0 && choice.foreignKeys.length === 0 && schema !== 'rows';
  await readMoneyBy(session, work.fit);
  const compared = await compareDatabase(
    session,
    {
      // Of an estimate, only that the table is there.
      tables: facts.row_counts === 'exact' ? choice.tables : choice.tables.map(({ name }) => ({ name })),
      ...(request.only.length > 0 || isExport(work) ? {} : { largeObjects: facts.large_objects }),
      // Another major describes the same objects in other words.
      ...(sha256 === undefined || !sameMajor || !whole ? {} : { schemaSha256: sha256 }),
    },
    target,
  );
  if (compared.sameSchema) return compared.tables;
  const message = 'the restored schema does not read like the recorded one';
  if (schema === 'refuse')
    throw new DguardError('corrupt', message, { operation: 'compare', subject: target });
  // Every object was created without an error and every row counted: no reason to keep it from who needs it.
  request.warn({
    message: `${message}; compare with pg_dump --schema-only`,
    subject: target,
    partial: false,
  });
  return compared.tables;
}

/** Gathers the planner's statistics of a loaded database by one session, and compares it by another meanwhile. */
export async function analyzeAndCompare(
  work: Work,
  { analyzing, comparing }: { readonly analyzing: Session; readonly comparing: Session },
  choice: Choice,
): Promise<readonly TableFact[]> {
  // Both are waited for: nobody renames, or drops, a database that somebody is at work in.
  const [analyzed, compared] = await Promise.allSettled([
    analyzeDatabase(analyzing, { subject: work.target, warn: work.request.warn }),
    compare(work, comparing, choice, 'tell'),
  ]);
  if (compared.status === 'rejected') throw compared.reason;
  if (analyzed.status === 'rejected') throw analyzed.reason;
  return compared.value;
}

/** Said before the error, or the interrupt, that comes after the swap: who reads that alone takes the target for the old one. */
export function tellReplaced({ request, target }: Work, undo: string | undefined): void {
  const kept = undo === undefined ? '' : `; what was there before is kept: ${undo}`;
  request.warn({
    message: `it is restored, and what follows was cut short${kept}`,
    subject: target,
    partial: false,
  });
}

/** Warns of what was restored in another state than it was in, or not at all. */
export function tellWhatIsOff({ facts, request, target }: Work, choice: Choice): void {
  const tell = (message: string) => request.warn({ message, subject: target, partial: false });
  if (facts.slots.length > 0)
    tell(`replication slots are in no backup: ${facts.slots.join(', ')} were there`);
  if (choice.foreignKeys.length > 0) {
    tell(
      `foreign keys to tables without their rows were left out: ${choice.foreignKeys.map(({ table, references }) => `${table} → ${references}`).join(', ')}`,
    );
  }
}

/** Says what became of the subscriptions that there were: a dump by who is no superuser has none. */
export async function tellSubscriptions({ admin, facts, request, target }: Work): Promise<void> {
  if (facts.subscriptions.length === 0) return;
  const rows = await admin.rows<{ n: string }>(`
    SELECT s.subname AS n FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
    WHERE d.datname = ${literal(target)}`);
  const there = new Set(rows.map(({ n }) => n));
  const tell = (message: string) => request.warn({ message, subject: target, partial: false });
  const back = facts.subscriptions.filter((name) => there.has(name));
  if (back.length > 0)
    tell(`subscriptions were restored disabled: ${back.join(', ')}; ALTER SUBSCRIPTION … ENABLE`);
  const lost = facts.subscriptions.filter((name) => !there.has(name));
  if (lost.length > 0)
    tell(`subscriptions are not in the backup, as its role was no superuser: ${lost.join(', ')}`);
}

/** Removes a database of this restore's own, also after an abort; where that fails, a warning says how. */
export async function dropQuietly(work: Work, name: string): Promise<void> {
  const { admin, request } = work;
  try {
    await dropMarked(admin, name, work.server).catch(() =>
      withFreshSession(work, (session, server) => dropMarked(session, name, server)),
    );
  } catch (error) {
    const message = `the database ${name} could not be removed (${errorText(error)}); it is marked, and goes with: dguard restore --recover`;
    request.warn({ message, subject: name, partial: false, stays: true });
  }
}
