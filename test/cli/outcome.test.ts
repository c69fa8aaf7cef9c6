import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ofRestore } from '../../src/cli/commands/restore-each.ts';
import { errorLines, jsonDocument, jsonPieces } from '../../src/cli/render/outcome.ts';
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

it('a document of many things is what JSON.stringify makes of it, in pieces of one thing each', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.stringMatching(/^f[a-z]{1,8}$/), fc.oneof(fc.jsonValue(), fc.array(fc.jsonValue()))),
      (fields) => {
        const whole = { command: 'list', status: 'ok', exit_code: 0, ...fields, errors: [] };
        const document = jsonDocument('list', 0, fields, []);
        expect(JSON.stringify(JSON.parse(document), null, 2)).toBe(JSON.stringify(whole, null, 2));
        const plain = document.replace(/\\u[0-9a-f]{4}/g, (code) => JSON.parse(`"${code}"`) as string);
        expect(plain.split('\n')).toHaveLength(JSON.stringify(whole, null, 2).split('\n').length);
      },
    ),
  );
  const many = { backups: Array.from({ length: 5000 }, (_, i) => ({ id: `${i}`, size: 10n })) };
  expect(Math.max(...[...jsonPieces('list', 0, many, [])].map((piece) => piece.length))).toBeLessThan(200);
});
