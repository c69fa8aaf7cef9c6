import { expect, it } from 'vitest';
import { ofRestore } from '../../src/cli/commands/restore-each.ts';
import { errorLines } from '../../src/cli/render/outcome.ts';
import { DguardError } from '../../src/errors.ts';

it('an operation and its subject, which stand before the message, are not said again by it', () => {
  const error = new DguardError('storage_failed', 'put j/a.json: EROFS: read-only file system', {
    operation: 'put',
    subject: 'j/a.json',
    hint: 'mount it',
  });
  expect(errorLines(error, false)).toBe(
    'error: put j/a.json: EROFS: read-only file system\n  next: mount it',
  );
});

it('who ended a restore reads what became of the target, not of backups', () => {
  for (const code of ['interrupted', 'terminated'] as const) {
    const text = errorLines(ofRestore(new DguardError(code, code), 'restore', 'full-x'), false);
    expect(text).toMatch(
      /^error: restore full-x: (interrupted|terminated)\n {2}next: the target is all old or all new/,
    );
  }
  const other = new DguardError('corrupt', 'bad bytes', { hint: 'its own' });
  expect(ofRestore(other, 'restore', 'full-x')).toBe(other);
});
