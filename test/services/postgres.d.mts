/** A running server, as the tests see it. */
export interface PostgresServer {
  /** What a suite calls it. */
  readonly label: string;
  /** The folder of its client tools; undefined: whatever the machine has. */
  readonly bin: string | undefined;
  readonly host: string;
  readonly port: number;
  /** The superuser; of an own server also the system user that it runs as. */
  readonly user: string;
  readonly password: string;
  readonly socketFolder: string | undefined;
  readonly pid: number | undefined;
  /** Ends the process, keeps the data. */
  halt(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again after `halt`. */
  resume(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

export const REGRESSION_MAJOR: 18;
export function regressionTests(): string | undefined;
export function postgresPrograms(major: number | string): string | undefined;
export function startPostgres(
  major: number | string,
  options?: { settings?: Record<string, string> },
): Promise<PostgresServer>;
export function externalPostgres(): PostgresServer | undefined;
