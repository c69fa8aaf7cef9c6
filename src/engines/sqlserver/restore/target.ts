import { targetSource as sourceOf } from '../../target-source.ts';
import type { EngineSource } from '../../types.ts';
import type { SqlserverOptions } from '../options.ts';

/** The source of a target, with the signal, temporary folder and warnings of this call. */
export function targetSource(
  request: Parameters<typeof sourceOf<SqlserverOptions>>[0],
): EngineSource<SqlserverOptions> {
  return sourceOf(request, 'an SQL Server backup', 'take the file itself out: dguard cat ID database.bak');
}
