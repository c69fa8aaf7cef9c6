import type { Emit } from './events.ts';

/**
 * What only the outermost layer knows, handed in: clock, host, environment, signal. Nothing below
 * `cli/` reads `process.env`, `process.argv`, the clock or the console itself.
 */
export interface Runtime {
  readonly now: () => Date;
  readonly emit: Emit;
  /** Aborted by SIGINT or SIGTERM (reason: a DguardError) or by a job's time limit. */
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly host: HostFacts;
  /** A folder for staging, made on demand with mode 0700; its own contents are dguard's to remove. */
  readonly tempDir: string;
  /** Where locks lie, made on demand: a folder of this host and user that all runs share. */
  readonly lockDir: string;
  /** dguard's own version, for manifests. */
  readonly version: string;
}

export interface HostFacts {
  readonly name: string;
  /** Changes at every boot; empty where the system has none. */
  readonly bootId: string;
  readonly pid: number;
  /** When the process `pid` started, in the system's own words, where it tells (`processStart`). */
  readonly pidStart?: string;
  /** Which processes a number means (containers have their own); empty or missing where that is not known (`pidNamespace`). */
  readonly pidNamespace?: string;
  /** True where dguard runs with the privileges to give files away (root). */
  readonly privileged: boolean;
}
