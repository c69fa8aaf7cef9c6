import { tmpdir } from 'node:os';
import { Secret } from '../../../src/config/secret.ts';
import type { SqlserverOptions } from '../../../src/engines/sqlserver/engine.ts';
import type { EngineSource, Warning } from '../../../src/engines/types.ts';
import { contextIn } from '../support.ts';

/** A datasource as the engine sees it. */
export function sqlserverSource(
  options: Partial<SqlserverOptions>,
  warnings: Warning[] = [],
  signal: AbortSignal = new AbortController().signal,
): EngineSource<SqlserverOptions> {
  return {
    name: 'ms',
    options: {
      host: '127.0.0.1',
      username: 'backup',
      password: new Secret('the secret of the test'),
      database: ['app'],
      all_databases: false,
      client_path: [],
      client_command: [],
      ...options,
    },
    ...contextIn(tmpdir(), warnings),
    signal,
  };
}
