import { DguardError } from '../../../errors.ts';
import type { EngineSource, TargetRequest } from '../../types.ts';
import type { SqlserverOptions } from '../options.ts';

/** The source of a target, with the signal, temporary folder and warnings of this call. */
export function targetSource(request: TargetRequest<SqlserverOptions>): EngineSource<SqlserverOptions> {
  if (request.toPath !== undefined) {
    throw new DguardError('unsupported', 'an SQL Server backup is restored to a database, not to a path', {
      operation: 'restore',
      subject: request.toPath,
      hint: 'use --to-database NAME; or take the file itself out: dguard cat ID database.bak',
    });
  }
  if (request.source === undefined) {
    throw new DguardError('usage', 'nothing says which server to restore to', {
      operation: 'restore',
      hint: 'name a datasource of the configuration: --to DATASOURCE',
    });
  }
  const { signal, tempDir, warn } = request;
  return { ...request.source, signal, tempDir, warn };
}
