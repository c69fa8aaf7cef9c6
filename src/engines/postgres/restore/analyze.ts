import { errorText } from '../../../errors.ts';
import type { Warning } from '../../types.ts';
import { listTables } from '../server/catalog.ts';
import { isRefused } from '../server/failures.ts';
import type { Session } from '../server/session.ts';
import { sqlName, type TableName } from '../server/table-name.ts';

export interface AnalyzeRequest {
  readonly subject: string;
  readonly warn: (warning: Warning) => void;
}

/** A warning names so many tables. */
const MAX_NAMED = 10;

/**
 * Gathers the planner's statistics of a whole database. They are no reason to keep rows from who needs them: a table
 * that fails (of a partition at a foreign server that is away) is warned of. Throws where the session itself is broken.
 */
export async function analyzeDatabase(session: Session, request: AnalyzeRequest): Promise<void> {
  try {
    await session.run('ANALYZE');
  } catch (error) {
    if (!isRefused(error)) throw error;
    // It has ended at the first that fails, in an order of the server's own.
    await analyzeTables(session, [...(await listTables(session)), ...(await listViews(session))], request);
  }
}

/** As `analyzeDatabase`, of these tables. */
export async function analyzeTables(
  session: Session,
  tables: readonly TableName[],
  { subject, warn }: AnalyzeRequest,
): Promise<void> {
  const failed: string[] = [];
  let why = '';
  for (const table of tables) {
    const name = sqlName(table);
    try {
      await session.run(`ANALYZE ${name}`);
    } catch (error) {
      if (!isRefused(error)) throw error;
      failed.push(name);
      why ||= errorText(error);
    }
  }
  if (failed.length === 0) return;
  const more = failed.length > MAX_NAMED ? ` and ${failed.length - MAX_NAMED} more` : '';
  const message = `restored, but without statistics for the planner: ${failed.slice(0, MAX_NAMED).join(', ')}${more} (${why}); ANALYZE them once that is solved`;
  warn({ message, subject, partial: false });
}

function listViews(session: Session): Promise<TableName[]> {
  return session.rows<TableName>(
    `SELECT schemaname AS "schema", matviewname AS "table" FROM pg_catalog.pg_matviews WHERE ispopulated ORDER BY 1, 2`,
  );
}
