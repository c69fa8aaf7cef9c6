/**
 * The one error class of dguard, and the one table from error code to exit status.
 *
 * Every error that a user can meet says what failed (`operation`), on what (`subject`), why
 * (`message`, `cause`) and what to do next (`hint`, a command where there is one).
 */

/** Closed union: adding a code means adding its exit status below. */
export type ErrorCode =
  | 'usage' // the command line is wrong
  | 'config_invalid' // the configuration does not say something dguard can do
  | 'config_unsafe' // the configuration or a secret file is readable or writable by others
  | 'unknown_name' // neither the configuration nor any destination knows this name
  | 'unsupported' // known, valid, but not built (an adapter that is not there yet)
  | 'nothing_there' // the name is known, but nothing is there
  | 'source_failed' // a datasource could not be read
  | 'source_empty' // nothing where something must be
  | 'storage_failed' // a destination could not be read or written
  | 'storage_full' // a destination has no room
  | 'storage_missing' // a destination is not there (not mounted, no such folder)
  | 'storage_exists' // an exclusive put found its key taken
  | 'storage_not_found' // no such object
  | 'target_refused' // a restore target is not empty, not ours, not safe
  | 'target_failed' // a restore target could not be written
  | 'corrupt' // bytes do not hold: hash, length, grammar
  | 'too_new' // written by a newer major version of the format
  | 'locked'
  | 'tool_missing'
  | 'tool_version'
  | 'key_wrong'
  | 'key_missing'
  | 'hook_failed'
  | 'timeout'
  | 'partial'
  | 'stale'
  | 'offline'
  | 'interrupted' // SIGINT
  | 'terminated' // SIGTERM, SIGHUP
  | 'internal';

/** Exit status of each code, as every command's help prints them. */
export const EXIT_STATUS: Readonly<Record<ErrorCode, number>> = {
  usage: 2,
  config_invalid: 2,
  config_unsafe: 2,
  unknown_name: 2,
  unsupported: 2,
  nothing_there: 6,
  source_failed: 1,
  source_empty: 1,
  storage_failed: 1,
  storage_full: 1,
  storage_missing: 1,
  storage_exists: 1,
  storage_not_found: 1,
  target_refused: 1,
  target_failed: 1,
  corrupt: 4,
  too_new: 4,
  locked: 5,
  tool_missing: 7,
  tool_version: 7,
  key_wrong: 8,
  key_missing: 8,
  hook_failed: 1,
  timeout: 1,
  partial: 3,
  stale: 9,
  offline: 75,
  interrupted: 130,
  terminated: 143,
  internal: 1,
};

/** Where several statuses meet in one command, the first of these wins; 0 loses to all. */
const PRECEDENCE = [130, 143, 2, 8, 7, 4, 1, 5, 3, 9, 6, 75, 0];

/** The one exit status of several outcomes. An empty list is 0. */
export function combineExitStatus(statuses: readonly number[]): number {
  for (const status of PRECEDENCE) if (statuses.includes(status)) return status;
  return statuses.length === 0 ? 0 : 1;
}

export interface ErrorDetails {
  /** What was being done, as a person would say it: `backup`, `restore`, `read manifest`. */
  operation?: string;
  /** On what: a datasource, a destination, a backup id, a path, a configuration position. */
  subject?: string;
  /** What to do next; a command where there is one. */
  hint?: string;
  /** Not over in a moment, though others of its code may be: a wrong password. Nobody tries again by himself. */
  lasting?: boolean;
  cause?: unknown;
}

/** The only error class that dguard throws on purpose. */
export class DguardError extends Error {
  override readonly name = 'DguardError';
  readonly code: ErrorCode;
  readonly operation: string | undefined;
  readonly subject: string | undefined;
  readonly hint: string | undefined;
  readonly lasting: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.operation = details.operation;
    this.subject = details.subject;
    this.hint = details.hint;
    this.lasting = details.lasting ?? false;
  }

  get exitStatus(): number {
    return EXIT_STATUS[this.code];
  }
}

/** Any thrown thing as a DguardError; what is not one yet becomes `code` with it as cause. */
export function toDguardError(thrown: unknown, code: ErrorCode, details: ErrorDetails = {}): DguardError {
  if (thrown instanceof DguardError) return thrown;
  return new DguardError(code, errorText(thrown), { ...details, cause: thrown });
}

/** One line of text for any thrown thing. */
export function errorText(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name;
  return String(thrown);
}

/** The errno name of a system error (`ENOENT`), or undefined. */
export function errnoOf(thrown: unknown): string | undefined {
  const code = (thrown as { code?: unknown } | null)?.code;
  return typeof code === 'string' && /^E[A-Z0-9_]+$/.test(code) ? code : undefined;
}

/** The error that an aborted signal stands for: its reason where that is ours, else `interrupted`. */
export function abortError(signal: AbortSignal): DguardError {
  return signal.reason instanceof DguardError ? signal.reason : new DguardError('interrupted', 'interrupted');
}

/** Throws if the signal was aborted. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortError(signal);
}

/** What the work comes to, or the abort's error as soon as there is one, whatever the work still waits for. */
export function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(abortError(signal));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    // Also where the abort came first: a rejection that nobody hears of would end the process.
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}
