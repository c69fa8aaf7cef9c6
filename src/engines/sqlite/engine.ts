import { errorText, toDguardError } from '../../errors.ts';
import { freeBytesOf } from '../../folders.ts';
import type { Health } from '../health.ts';
import type { Engine, EngineSource } from '../types.ts';
import { sqliteVersion } from './database/check.ts';
import { sqliteError } from './database/driver.ts';
import { locateSource } from './database/locate.ts';
import { withSource } from './database/source.ts';
import { diagnoseFile } from './diagnose.ts';
import { dumpDatabase } from './dump/dump.ts';
import type { SqliteOptions } from './options.ts';
import { sqlitePlain } from './plain/form.ts';
import { inspectBackup } from './restore/inspect.ts';
import { restoreBackup } from './restore/restore.ts';
import { sqliteSwaps } from './restore/swaps.ts';

export type { SqliteOptions } from './options.ts';

const PROBE_WAIT_MS = 1_000;

/** SQLite database files, by the library's own online backup: no server, no client tool. */
export const sqliteEngine: Engine<SqliteOptions> = {
  type: 'sqlite',
  capabilities: { targets: ['path'] },
  probe,
  diagnose: diagnoseFile,
  dump: dumpDatabase,
  restore: restoreBackup,
  inspect: inspectBackup,
  swaps: sqliteSwaps,
  plain: sqlitePlain,
};

async function probe(source: EngineSource<SqliteOptions>): Promise<Health> {
  const begun = source.now().getTime();
  try {
    const file = await locateSource(source.options.file_path);
    const free = await freeBytesOf(file.path);
    return await withSource(file.path, PROBE_WAIT_MS, (database) => {
      const value = (pragma: string) => database.pragma(pragma, { simple: true }) as number | string;
      const tables = database
        .prepare("SELECT count(*) FROM sqlite_master WHERE type = 'table'")
        .pluck()
        .get();
      return {
        status: 'ok',
        latencyMs: source.now().getTime() - begun,
        serverVersion: sqliteVersion(database),
        sizeBytes: file.sizeBytes,
        facts: {
          tables: tables as number,
          journal_mode: value('journal_mode'),
          page_size: value('page_size'),
          user_version: value('user_version'),
          ...(free === undefined ? {} : { free_bytes: free }),
        },
      };
    });
  } catch (error) {
    const known = toDguardError(
      sqliteError(error, 'source_failed', 'probe', source.options.file_path),
      'source_failed',
    );
    const message = known.hint === undefined ? errorText(known) : `${errorText(known)}; ${known.hint}`;
    return { status: 'error', message };
  }
}
