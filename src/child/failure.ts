import { DguardError } from '../errors.ts';
import { withoutSecrets } from '../redact.ts';
import type { ChildOptions } from './types.ts';

/** Why a child failed: by its exit, a signal, or because it could not be started. */
export function childError(
  program: string,
  result: {
    readonly exitCode?: number | undefined;
    readonly signal?: string | undefined;
    readonly code?: string | undefined;
    readonly originalMessage?: string | undefined;
  },
  stderr: string,
  { failure, redact, cwd }: ChildOptions,
): DguardError {
  const details = {
    operation: failure?.operation ?? `run ${program}`,
    ...(failure?.subject === undefined ? {} : { subject: failure.subject }),
    ...(failure?.hint === undefined ? {} : { hint: failure.hint }),
  };
  if (result.exitCode === undefined && result.signal === undefined) {
    const why = withoutSecrets(result.originalMessage ?? result.code ?? 'unknown reason', redact ?? []);
    if (result.code === 'ENOENT' && cwd === undefined) {
      const hint = failure?.hint ?? `install it, or put its folder into PATH`;
      return new DguardError('tool_missing', `there is no program ${program}`, { ...details, hint });
    }
    return new DguardError('tool_missing', `${program} could not be started: ${why}`, details);
  }
  const how = result.signal === undefined ? `exit status ${result.exitCode}` : `killed by ${result.signal}`;
  const message = stderr === '' ? `${program}: ${how}` : `${program}: ${how}: ${stderr}`;
  return new DguardError(failure?.code ?? 'source_failed', message, details);
}
