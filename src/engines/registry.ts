import type { DatasourceType } from '../config/types/datasources.ts';
import { DguardError } from '../errors.ts';
import type { Engine } from './types.ts';

/** One line per adapter; its module, and what it needs, loads with the first datasource of its type. */
const ENGINES: { readonly [Type in DatasourceType]?: () => Promise<Engine> } = {
  files: async () => (await import('./files/engine.ts')).filesEngine as Engine,
  mongodb: async () => (await import('./mongodb/engine.ts')).mongodbEngine as Engine,
  mysql: async () => (await import('./mysql/engine.ts')).mysqlEngine as Engine,
  postgres: async () => (await import('./postgres/engine.ts')).postgresEngine as Engine,
  sqlserver: async () => (await import('./sqlserver/engine.ts')).sqlserverEngine as Engine,
  sqlite: async () => (await import('./sqlite/engine.ts')).sqliteEngine as Engine,
};

/** The engine of a datasource type. Throws `unsupported` for a type without an adapter in this version. */
export async function createEngine(type: string, subject: string): Promise<Engine> {
  const load = ENGINES[type as DatasourceType];
  if (load) return load();
  throw new DguardError('unsupported', `datasource type '${type}' is not built into this version yet`, {
    subject,
    hint: `this version has: ${Object.keys(ENGINES).join(', ')}`,
  });
}
