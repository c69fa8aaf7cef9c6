import { type ReadFile, writableProblem } from './files.ts';
import type { Prepared, SecretPlace } from './prepare.ts';
import type { ConfigProblem } from './problems.ts';
import type { Marks } from './tree.ts';

export interface TrustOptions {
  /** Of this process; undefined where there is no such thing. */
  readonly uid: number | undefined;
  readonly trustConfig: boolean;
}

/**
 * Who else could read or change the files of a configuration: anyone may write (refused), its group may
 * write (warning), anyone may read while a secret stands in clear (refused), and, for root, commands out
 * of a file that belongs to someone else (refused, unless told to trust it).
 */
export function safetyProblems(
  files: readonly ReadFile[],
  prepared: Prepared,
  marks: Marks,
  options: TrustOptions,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const holders = (places: readonly (readonly (string | number)[])[]) =>
    new Set(places.map((path) => marks.position(path)?.file));
  const clear = holders(prepared.secrets.filter((place) => isClear(place, marks)).map((place) => place.at));
  const commands = holders(prepared.commands);
  for (const file of files) {
    const report = (severity: ConfigProblem['severity'], message: string, hint: string) =>
      problems.push({ severity, position: { file: file.path, line: 1, column: 1 }, path: '', message, hint });
    const writable = writableProblem(file);
    if (writable) report(writable.severity, writable.message, `chmod go-w ${file.path}`);
    if (file.mode !== undefined && file.mode & 0o004 && clear.has(file.path)) {
      report('unsafe', 'can be read by anyone and holds a secret in clear', `chmod 600 ${file.path}`);
    }
    const foreign = options.uid === 0 && file.mode !== undefined && file.owner !== 0;
    if (foreign && !options.trustConfig && commands.has(file.path)) {
      const message = `holds commands for root to run, and belongs to user id ${file.owner}`;
      report('unsafe', message, `chown root ${file.path}, or --trust-config`);
    }
  }
  return problems;
}

/** Does the secret itself stand in the file? */
function isClear(place: SecretPlace, marks: Marks): boolean {
  if (place.from !== 'value' || typeof place.value !== 'string') return false;
  const mark = marks.get(place.at);
  if (place.form !== 'uri') return mark?.literal === true;
  // A connection URI is a secret only for the password in it, which may be a variable.
  const password = /:\/\/[^/?#]*?:([^/?#]*)@/.exec(mark?.raw ?? place.value)?.[1] ?? '';
  return password.replaceAll(/\$\{[A-Za-z0-9_]+\}/g, '') !== '';
}
