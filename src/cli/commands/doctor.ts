import { redact } from '../../config/secret.ts';
import { diagnoseConfig } from '../../core/health/config-findings.ts';
import { type Diagnosis, diagnose, problemError } from '../../core/health/doctor.ts';
import { chooseNames } from '../../core/health/names.ts';
import { combineExitStatus } from '../../errors.ts';
import { type Context, openDestination } from '../context.ts';
import { waitOf } from '../jobs.ts';
import { jsonDocument } from '../render/outcome.ts';
import { plainText } from '../render/text.ts';

interface Options {
  readonly timeout?: string;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const ORDER = ['problem', 'warning', 'notice'] as const;

/** What would make a backup or a restore fail, and how to mend it. Warnings are no failure. */
export async function doctorCommand(
  context: Context,
  names: readonly string[],
  options: Options,
): Promise<number> {
  const loaded = await context.loaded();
  const { config, path } = loaded;
  const chosen = chooseNames(config, names, 'doctor');
  const limitMs = options.timeout === undefined ? DEFAULT_TIMEOUT_MS : waitOf(options.timeout, '--timeout');
  const open = (name: string) => openDestination(context, name);
  const found = [
    ...(await diagnoseConfig(loaded)).map(
      (finding): Diagnosis => ({ ...finding, kind: 'config', name: path }),
    ),
    ...(await diagnose(config, chosen, open, limitMs, context.runtime)),
  ].sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity));
  const errors = found.filter(({ severity }) => severity === 'problem').map(problemError);
  const status = combineExitStatus(errors.map(({ exitStatus }) => exitStatus));
  const lookedAt = [...new Set([...chosen.datasources, ...chosen.destinations])];
  if (context.options.json) {
    const fields = { findings: found.map(findingJson), looked_at: lookedAt };
    context.print(jsonDocument('doctor', status, fields, errors));
    return status;
  }
  for (const finding of found) printFinding(context, finding);
  const count = (severity: string) => found.filter((finding) => finding.severity === severity).length;
  context.print(
    `${lookedAt.length} looked at: ${count('problem')} problems, ${count('warning')} warnings, ${count('notice')} notices`,
  );
  return status;
}

const PLACE = { sql: 'SQL, as an administrator', shell: 'run', config: 'in the configuration' } as const;

function printFinding(context: Context, { severity, name, subject, message, fix }: Diagnosis): void {
  const about = subject === undefined ? name : `${name}: ${subject}`;
  context.print(plainText(redact(`${severity.toUpperCase()} ${about}: ${message}`)));
  if (!fix) return;
  const where = fix.database === undefined ? '' : `, in database ${fix.database}`;
  context.print(plainText(`  fix (${PLACE[fix.by]}${where}):`));
  for (const line of fix.lines) context.print(plainText(redact(`    ${line}`)));
}

function findingJson({ severity, topic, kind, name, subject, message, fix }: Diagnosis): object {
  return {
    severity,
    topic,
    kind,
    name,
    subject: subject ?? null,
    message: redact(message),
    fix: fix
      ? { by: fix.by, database: fix.database ?? null, lines: fix.lines.map((line) => redact(line)) }
      : null,
  };
}
