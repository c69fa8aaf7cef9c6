import { DguardError } from '../../../errors.ts';

/** What is not Extended JSON, and where; 0: nobody can say where. */
export function broken(why: string, at: number): DguardError {
  return new DguardError('corrupt', `not Extended JSON: ${why}${at > 0 ? ` (character ${at})` : ''}`, {
    operation: 'read documents',
  });
}
