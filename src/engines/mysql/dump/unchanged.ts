import { DguardError } from '../../../errors.ts';
import { serverError } from '../server/failures.ts';
import { type Definitions, hashDefinitions } from '../server/schema-hash.ts';

/**
 * The schema's hash; undefined where code was changed meanwhile, and the dump may have either. A table whose
 * definition changed under the dump fails it: not every server notices that itself.
 */
export async function unchanged(
  begun: Promise<Definitions>,
  read: () => Promise<Definitions>,
  subject: string,
): Promise<string | undefined> {
  let before: Definitions;
  let after: Definitions;
  try {
    before = await begun;
    after = await read();
  } catch (error) {
    throw serverError(error, 'source_failed', 'read definitions', subject);
  }
  const changed = [...before].filter(([key, text]) => key.startsWith('table ') && after.get(key) !== text);
  if (changed.length > 0) {
    const named = changed.slice(0, 5).map(([key]) => key.slice('table '.length));
    throw new DguardError(
      'source_failed',
      `tables were altered while they were dumped: ${named.join(', ')}`,
      {
        operation: 'dump',
        subject,
        hint: 'run the backup again; not while migrations run',
      },
    );
  }
  const [first, second] = [hashDefinitions(before), hashDefinitions(after)];
  return first === second ? first : undefined;
}
