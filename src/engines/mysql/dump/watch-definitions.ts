import { DguardError } from '../../../errors.ts';
import type { TableInfo } from '../server/catalog.ts';

/** Before the name of what is defined; no row begins a line so. */
const TABLE = Buffer.from('\nCREATE TABLE `');
const VIEW = Buffer.from('VIEW `');
/** Before `VIEW`: a view's stand-in, and the third line of a view. Others say neither (a routine's body, another tool). */
const STAND_IN = 'CREATE ';
const OF_ITS_OWN = '\n/*!50001 ';
const MAX_NAME_BYTES = 64 * 4 * 2 + 1;
const LONGEST = OF_ITS_OWN.length + TABLE.length + MAX_NAME_BYTES;

/**
 * Looks at the definitions that a dump tool writes. It lists tables when it begins and views once more at its end: one
 * that is dropped meanwhile stays behind as a stand-in, and one that was made meanwhile may take from what is not in
 * the dump.
 */
export function watchDefinitions(expected: readonly TableInfo[]) {
  const named = (kind: TableInfo['kind']) =>
    expected.filter((one) => one.kind === kind).map(({ name }) => name);
  const missing = new Set([...named('table'), ...named('view')]);
  const views = new Set(named('view'));
  const unknown = new Set<string>();
  let carry = Buffer.alloc(0);

  const each = (data: Buffer, begin: Buffer, found: (name: string, at: number) => void) => {
    for (let at = data.indexOf(begin); at >= 0; at = data.indexOf(begin, at + 1)) {
      const from = at + begin.length;
      const text = data.toString('utf8', from, Math.min(data.length, from + MAX_NAME_BYTES + 1));
      const name = /^((?:[^`]|``)*)`[^`]/.exec(text)?.[1];
      if (name !== undefined) found(name.replaceAll('``', '`'), at);
    }
  };
  return {
    saw(chunk: Buffer): void {
      if (expected.length === 0) return;
      const data = carry.length > 0 ? Buffer.concat([carry, chunk]) : chunk;
      each(data, TABLE, (name) => missing.delete(name));
      each(data, VIEW, (name, at) => {
        // One with less before it was seen already.
        const before = data.toString('latin1', Math.max(0, at - OF_ITS_OWN.length), at);
        if (before.length < OF_ITS_OWN.length || before.endsWith(STAND_IN)) return;
        missing.delete(name);
        if (before === OF_ITS_OWN && !views.has(name)) unknown.add(name);
      });
      carry = Buffer.from(data.subarray(Math.max(0, data.length - LONGEST)));
    },
    /** At its end. Throws `source_failed`. */
    check(subject: string): void {
      if (missing.size > 0) throw changed('tables or views were dropped or renamed', missing, subject);
      if (unknown.size > 0) throw changed('views were made', unknown, subject);
    },
  };
}

/** That definitions are not all of one time. */
export function changed(what: string, names: Iterable<string>, subject: string): DguardError {
  return new DguardError(
    'source_failed',
    `${what} while they were dumped: ${[...names].slice(0, 5).join(', ')}`,
    { operation: 'dump', subject, hint: 'run the backup again; not while migrations run' },
  );
}
