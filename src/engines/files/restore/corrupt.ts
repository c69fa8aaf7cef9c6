import { displayPath } from '../../../archive/paths.ts';
import { DguardError } from '../../../errors.ts';

/** An entry that no backup of ours holds. */
export function corrupt(path: string, why: string): DguardError {
  const subject = path === '' ? 'the root' : displayPath(path);
  return new DguardError('corrupt', `${subject}: ${why}`, {
    operation: 'restore',
    subject,
    hint: 'nothing was restored; run dguard verify on this backup',
  });
}
