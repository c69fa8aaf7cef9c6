import { DguardError } from '../../../errors.ts';
import { sqlState } from '../server/failures.ts';
import type { Session } from '../server/session.ts';
import type { Work } from './restore-work.ts';

/** Settings of the sessions that load, as `name=value`: of a database that nobody uses yet. */
type LoadSettings = readonly string[];

/** What is loaded is on the disk with the swap that names it: a commit flushes all that was written before it. */
const NOT_WAITING = 'synchronous_commit=off';

const QUICK_COMPRESSION = 'default_toast_compression=lz4';

/** SQLSTATE program_limit_exceeded, which neither pg_restore nor psql tells. */
const LIMIT_EXCEEDED = '54000';
/** What the server said, in whatever language: libpq puts a severity before it. Other lines may quote numbers of rows. */
const SAID = /(?:^|: )(?!(?:DETAIL|HINT|CONTEXT|QUERY):)[^\s:]+: {2}(.*)/gm;
/** How large a row would be, and how large one may be: "index row size 2712 exceeds btree version 4 maximum 2704". */
const TWO_SIZES = /\b\d{3,}\b.*\b\d{3,}\b/;
const MAKES_AN_INDEX =
  /\bCREATE (UNIQUE )?INDEX\b|\bADD CONSTRAINT [^;]* (PRIMARY KEY|UNIQUE|EXCLUDE)\b|\bREFRESH MATERIALIZED VIEW\b/;

/**
 * Loads a new database with settings under which that is quick. Values compressed by lz4 may be larger than by
 * pglz, and then too large for an index that they were in, or for a row of many columns: when something may be too
 * large, `load` is called once more, for another new database, with the server's own compression.
 */
export async function loadQuickly<T>(work: Work, load: (settings: LoadSettings) => Promise<T>): Promise<T> {
  if (!(await maySetCompression(work))) return await load([NOT_WAITING]);
  try {
    return await load([NOT_WAITING, QUICK_COMPRESSION]);
  } catch (error) {
    if (!mayBeTooLarge(error) || work.request.signal.aborted) throw error;
    return await load([NOT_WAITING]);
  }
}

/** Whether `loadQuickly`, told of this failure under these settings, loads another database with others. */
export function isLoadedAgain(error: unknown, settings: LoadSettings): boolean {
  return settings.includes(QUICK_COMPRESSION) && mayBeTooLarge(error);
}

function mayBeTooLarge(error: unknown): boolean {
  if (!(error instanceof DguardError) || error.operation !== 'load')
    return sqlState(error) === LIMIT_EXCEEDED;
  const said = [...error.message.matchAll(SAID)].map(([, text]) => text!);
  // Before a long statement it may have been cut off.
  return said.length === 0 ? MAKES_AN_INDEX.test(error.message) : said.some((text) => TWO_SIZES.test(text));
}

/**
 * Whether large values may be compressed by lz4, as from PostgreSQL 19 on they are: the server knows it, and nobody
 * has chosen otherwise for server, role or database. pglz takes more time than all else of loading a document.
 */
async function maySetCompression({ admin, existing, facts }: Work): Promise<boolean> {
  const { settings } = existing ?? facts.database;
  if (settings.some(({ name }) => name === 'default_toast_compression')) return false;
  return await knowsLz4(admin);
}

async function knowsLz4(session: Session): Promise<boolean> {
  const rows = await session.rows(
    `SELECT 1 AS one FROM pg_catalog.pg_settings WHERE name = 'default_toast_compression'
      AND source = 'default' AND setting = 'pglz' AND 'lz4' = ANY (enumvals)`,
  );
  return rows.length > 0;
}
