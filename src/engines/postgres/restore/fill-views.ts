import { DguardError, errorText } from '../../../errors.ts';
import { isRefused, sqlState } from '../server/failures.ts';
import type { Session } from '../server/session.ts';
import { sqlName, type TableName } from '../server/table-name.ts';

/** Materialised views that stay empty, in words of SQL, and why the first of them does. */
export type TellUnfilled = (names: readonly string[], why: string) => void;

/** SQLSTATE object_not_in_prerequisite_state: of a view whose own source is not filled yet. */
const NOT_YET = '55000';

/**
 * Whether pg_restore failed at filling a materialised view, which it does when all else but event triggers is there.
 * Its rows are made anew out of others, at foreign servers maybe: it can stay empty, nothing of the backup is lost.
 */
export function failedToFill(error: unknown): boolean {
  return error instanceof DguardError && /\nCommand was: REFRESH MATERIALIZED VIEW /.test(error.message);
}

/** Fills materialised views, those that read from others after these; says which cannot be. Throws what `isFatal`. */
export async function fillViews(
  session: Session,
  views: readonly TableName[],
  onUnfilled: TellUnfilled,
  isFatal: (error: unknown) => boolean = () => false,
): Promise<void> {
  // As pg_restore does: each takes as long as it takes.
  await session.run('SET statement_timeout TO 0');
  let pending = views;
  for (;;) {
    const failed: { readonly view: TableName; readonly error: unknown }[] = [];
    for (const view of pending) {
      try {
        await session.run(`REFRESH MATERIALIZED VIEW ${sqlName(view)}`);
      } catch (error) {
        if (!isRefused(error) || isFatal(error)) throw error;
        failed.push({ view, error });
      }
    }
    if (failed.length === 0) break;
    if (failed.length === pending.length) {
      const first = failed.find(({ error }) => sqlState(error) !== NOT_YET) ?? failed[0]!;
      onUnfilled(
        failed.map(({ view }) => sqlName(view)),
        errorText(first.error),
      );
      break;
    }
    pending = failed.map(({ view }) => view);
  }
  await session.run('RESET statement_timeout');
}

/** Those that are empty. */
export function unfilledViews(session: Session): Promise<TableName[]> {
  return session.rows<TableName>(
    `SELECT schemaname AS "schema", matviewname AS "table" FROM pg_catalog.pg_matviews WHERE NOT ispopulated ORDER BY 1, 2`,
  );
}
