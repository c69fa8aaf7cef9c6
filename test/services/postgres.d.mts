import type { Server } from './server.d.mts';

/** A running server, as the tests see it. */
export interface PostgresServer extends Server {
  /** The folder of its client tools; undefined: whatever the machine has. */
  readonly bin: string | undefined;
  /** The superuser; of an own server also the system user that it runs as. */
  readonly user: string;
  readonly socketFolder: string | undefined;
}

export const REGRESSION_MAJOR: 18;
export function regressionTests(): string | undefined;
export function postgresPrograms(major: number | string): string | undefined;
export function startPostgres(
  major: number | string,
  options?: { settings?: Record<string, string>; env?: Record<string, string> },
): Promise<PostgresServer>;
export function externalPostgres(): PostgresServer | undefined;
