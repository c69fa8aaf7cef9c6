import { DguardError } from '../../../errors.ts';
import { grantRole, identifier } from '../server/session.ts';

/** Who loads, and where. */
export interface Loader {
  readonly role: string;
  readonly serverVersionNum: number;
}

/**
 * A failure of pg_restore, or of psql at a table's rows, as the user reads it: with what to do where that is known, and without the secrets of the
 * statement that failed, which pg_restore repeats.
 */
export function loadFailure(error: unknown, loader: Loader, table?: string): unknown {
  if (!(error instanceof DguardError) || error.code !== 'target_failed') return error;
  const said = error.message.replace(WITH_SECRETS, '$1 …');
  const message = table === undefined ? said : `rows of ${table}: ${said}`;
  const hint = hintOf(message, loader) ?? error.hint;
  if (message === error.message && hint === error.hint) return error;
  const { operation, subject } = error;
  return new DguardError(error.code, message, {
    ...(operation === undefined ? {} : { operation }),
    ...(subject === undefined ? {} : { subject }),
    ...(hint === undefined ? {} : { hint }),
    // Whoever prints causes would print the secrets.
  });
}

/** Passwords of foreign servers and subscriptions are in their definitions. */
const WITH_SECRETS =
  /(Command was: (?:CREATE|ALTER) (?:USER MAPPING|SERVER|FOREIGN|SUBSCRIPTION)\b.*?\b(?:OPTIONS \(|CONNECTION )).*/s;

function hintOf(message: string, { role, serverVersionNum }: Loader): string | undefined {
  const missing = /ERROR: +role "(.*?)" does not exist/.exec(message)?.[1];
  if (missing !== undefined) {
    return `make the roles that policies and user mappings name: CREATE ROLE ${identifier(missing)}, or restore --roles`;
  }
  const other = /ALTER DEFAULT PRIVILEGES FOR ROLE ("(?:[^"]|"")+"|[\w$]+)/.exec(message)?.[1];
  if (other !== undefined) {
    const name = other.startsWith('"') ? other.slice(1, -1).replaceAll('""', '"') : other;
    return `as a superuser: ${grantRole(name, role, serverVersionNum)}; then restore again`;
  }
  if (/violates partition constraint/.test(message)) {
    return 'where its rows lie follows from how a server sorts or hashes text, which another version of ICU or libc does otherwise: restore to a server like the one that was backed up, or load them by hand: what pg_restore -f FILE writes, with the partitioned table in place of its partitions behind COPY; the target was not touched';
  }
  if (
    /ERROR: +(permission denied to|must be superuser|must be owner of (extension|foreign-data wrapper|event trigger)|only superuser)/.test(
      message,
    )
  ) {
    return `role ${role} may not do that: restore as a superuser, or let one make it there first; the target was not touched`;
  }
  return undefined;
}
