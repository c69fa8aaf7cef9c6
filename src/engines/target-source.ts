import { DguardError } from '../errors.ts';
import type { EngineSource, TargetRequest } from './types.ts';

/**
 * The source whose server is restored to, with the signal, temporary folder and warnings of this call. `backup` is
 * the engine's, in words (`a PostgreSQL backup`); `takeOut` says how else its data can be had. Errors:
 * `unsupported` for a path, `usage` without a source.
 */
export function targetSource<Options>(
  request: Pick<TargetRequest<Options>, 'source' | 'signal' | 'tempDir' | 'toPath' | 'warn'>,
  backup: string,
  takeOut: string,
): EngineSource<Options> {
  if (request.toPath !== undefined) {
    throw new DguardError('unsupported', `${backup} is restored to a database, not to a path`, {
      operation: 'restore',
      subject: request.toPath,
      hint: `use --to-database NAME; or ${takeOut}`,
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
