import type { DatasourceConfig, DatasourceType } from '../../config/types/datasources.ts';
import type { Config } from '../../config/types.ts';
import type { Health } from '../../engines/health.ts';
import { createEngine } from '../../engines/registry.ts';
import type { Engine, EngineSource } from '../../engines/types.ts';
import { abortError, DguardError, toDguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import { withTempFolder } from '../temp-folder.ts';
import { withTimeLimit } from './limit.ts';

export interface DatasourceHealth {
  readonly name: string;
  readonly type: DatasourceType;
  readonly health: Health;
  /** Why it is not `ok`. */
  readonly error?: DguardError;
}

/** Looks at one datasource. Never throws for what a status can say; an interruption throws. */
export async function checkDatasource(
  config: Config,
  name: string,
  limitMs: number,
  runtime: Runtime,
): Promise<DatasourceHealth> {
  const datasource = config.datasources[name]!;
  const { type } = datasource;
  try {
    const health = await withTimeLimit(name, limitMs, runtime, (limited) =>
      withSource(config, datasource, limited, (engine, source) => engine.probe(source)),
    );
    if (runtime.signal.aborted) throw abortError(runtime.signal);
    return { name, type, health, ...(health.status === 'ok' ? {} : { error: errorOf(name, health) }) };
  } catch (thrown) {
    if (runtime.signal.aborted) throw abortError(runtime.signal);
    const error = toDguardError(thrown, 'source_failed', { operation: 'check', subject: name });
    const status = error.code === 'timeout' ? 'timeout' : 'error';
    return { name, type, health: { status, message: error.message }, error };
  }
}

/** Calls `work` with a datasource as its engine sees it, and a folder for staging that is gone afterwards. */
export async function withSource<T>(
  config: Config,
  datasource: DatasourceConfig,
  runtime: Runtime,
  work: (engine: Engine, source: EngineSource<unknown>) => Promise<T>,
): Promise<T> {
  const engine = await createEngine(datasource.type, datasource.name);
  return withTempFolder(runtime, 'check', (tempDir) =>
    work(engine, {
      name: datasource.name,
      options: datasource,
      signal: runtime.signal,
      tempDir,
      host: { ...runtime.host, name: config.defaults.host ?? runtime.host.name },
      now: runtime.now,
      env: runtime.env,
      warn: ({ message }) =>
        runtime.emit({ type: 'log', level: 'warning', subject: datasource.name, message }),
    }),
  );
}

function errorOf(name: string, { status, message }: Health): DguardError {
  const code = status === 'timeout' ? 'timeout' : 'source_failed';
  return new DguardError(code, `${status}: ${message ?? 'it did not say why'}`, {
    operation: 'check',
    subject: name,
    hint: `\`dguard doctor ${name}\` looks deeper once it answers`,
  });
}
