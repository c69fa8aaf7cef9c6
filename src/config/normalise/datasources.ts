import type { DatasourceInput } from '../schema/datasources.ts';
import type { Secret } from '../secret.ts';
import type { OwnSecrets } from '../secrets.ts';
import type { DatasourceConfig } from '../types/datasources.ts';
import { durationMs, given } from './given.ts';

export function normaliseDatasource(
  name: string,
  input: DatasourceInput,
  secrets: OwnSecrets,
): DatasourceConfig {
  const base = { name, tags: input.tags ?? [], undo_keep: input.undo_keep };
  if (input.type === 'sqlite') return given({ ...base, type: input.type, file_path: input.file_path });
  if (input.type === 'files') {
    return given({
      ...base,
      type: input.type,
      source_path: input.source_path,
      include_patterns: input.include_patterns ?? [],
      exclude_patterns: input.exclude_patterns ?? [],
      one_file_system: input.one_file_system ?? false,
      exclude_if_present: input.exclude_if_present ?? [],
      exclude_caches: input.exclude_caches ?? true,
    });
  }
  return server(base, input, secrets);
}

type ServerInput = Exclude<DatasourceInput, { type: 'sqlite' | 'files' }>;

function server(
  base: { name: string; tags: readonly string[]; undo_keep: number | undefined },
  input: ServerInput,
  secrets: OwnSecrets,
): DatasourceConfig {
  const { password_file, password_command, uri_file, uri_command, database = [], ...rest } = input;
  const uri = secrets('uri');
  const isUnnamed = database.length === 0 && !namesDatabase(uri);
  const all = database.includes('all') || (input.type === 'mongodb' && isUnnamed);
  const network = {
    ...base,
    ...rest,
    tags: base.tags,
    database: all ? [] : database,
    all_databases: all,
    password: secrets('password'),
    uri,
    client_path: input.client_path ?? [],
    client_command: input.client_command ?? [],
  };
  if (input.type === 'postgres') {
    const { lock_timeout, statement_timeout, ...others } = network as typeof network & typeof input;
    return given({
      ...others,
      lock_timeout_ms: durationMs(lock_timeout),
      statement_timeout_ms: durationMs(statement_timeout),
    }) as DatasourceConfig;
  }
  return given(network) as DatasourceConfig;
}

/** Whether a path stands behind the hosts of a uri. Its passwords hold no `/` that is not encoded. */
function namesDatabase(uri: Secret | undefined): boolean {
  return uri !== undefined && /^[^:/]+:\/\/(?:[^@/]*@)?[^/?]+\/[^?]/.test(uri.reveal());
}
