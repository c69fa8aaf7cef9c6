import type { DatasourceConfig } from '../config/types/datasources.ts';
import { translate } from '../engines/plain/translate.ts';
import type { PlainForm, PlainWriter } from '../engines/plain/types.ts';
import type { BackupContent, Engine, LoadedPlace, TargetRequest } from '../engines/types.ts';
import { DguardError } from '../errors.ts';

export interface TranslateOptions {
  /** The engine that made the backup, and that of the target. */
  readonly from: Engine;
  readonly to: Engine;
  readonly only: readonly string[];
  readonly overwrite: boolean;
  readonly subject: string;
}

/**
 * A backup of one engine as one of another: its tables alone, and only plain ones. Also how what was loaded of it is
 * held against it. Errors: `usage` for engines whose tables cannot be translated, `target_refused` for a part that
 * would have to be merged, those of `translate`.
 */
export async function translateBackup(
  content: BackupContent,
  options: TranslateOptions,
  target: TargetRequest<DatasourceConfig>,
): Promise<{ content: BackupContent; prove(loaded: LoadedPlace): Promise<void> }> {
  const { from, to, only, overwrite, subject } = options;
  const writes = (form: PlainForm | undefined): form is PlainForm & { write: PlainWriter } =>
    form?.write !== undefined;
  if (from.plain === undefined || !writes(to.plain)) {
    const which = from.plain === undefined ? `of ${from.type}` : `to ${to.type}`;
    throw new DguardError(
      'usage',
      `${target.source?.name} is a ${to.type} datasource, and the backup is of ${from.type}: nothing is translated ${which}`,
      {
        operation: 'restore',
        subject,
        hint: `restore it to a datasource of type ${from.type}; tables go between postgres, mysql and sqlite`,
      },
    );
  }
  if (overwrite && (only.length > 0 || !content.whole)) {
    throw new DguardError(
      'target_refused',
      `a part of a backup of ${from.type} is not merged into a database of ${to.type}`,
      {
        operation: 'restore',
        subject,
        hint: 'restore it beside: --to-database NEW-NAME, --to-path NEW-FILE; or all of a whole backup with --overwrite',
      },
    );
  }
  const { warn, signal } = target;
  const translation = await translate(content, {
    from: from.plain,
    to: to.plain,
    only,
    subject,
    warn,
    signal,
  });
  return {
    content: translation.content,
    async prove({ database, path }) {
      const source = target.source!;
      const dump = await to.dump(
        {
          ...source,
          signal,
          warn: () => {},
          options: {
            ...source.options,
            ...(path === undefined ? {} : { file_path: path }),
            include_tables: [],
            exclude_tables: [],
          },
        },
        {
          ...(database === undefined ? {} : { database }),
          format: 'jsonl',
          include: [],
          exclude: [],
          parallelJobs: 1,
          ownPaths: [],
        },
      );
      try {
        await translation.prove(dump);
      } finally {
        await dump.close();
      }
    },
  };
}
