import { DguardError } from '../../errors.ts';
import { lineFields } from '../jsonl/line.ts';
import { type PlainTable, type PlainValue, Unfit } from './types.ts';

/** Where a row is, for messages. */
export interface RowPlace {
  readonly table: Pick<PlainTable, 'label' | 'recorded'>;
  /** From 1. */
  readonly line: number;
}

/**
 * The values of a line, in the order of the table's columns; `others`: which keys may be beside them. Throws `corrupt`, or `target_refused` for what is not
 * plain.
 */
export function decodeLine(
  table: PlainTable,
  text: string,
  line: number,
  others: 'known' | 'any' = 'known',
): PlainValue[] {
  const fields = lineFields(text);
  const expected = table.columns.length + table.otherKeys.length;
  if (fields === undefined || (others === 'known' && fields.size !== expected)) throw noRow({ table, line });
  return table.columns.map((column) => {
    const json = fields.get(column.name);
    if (json === undefined) throw noRow({ table, line });
    if (json === 'null') return null;
    return placed({ table, line }, column.name, () => column.decode(json));
  });
}

/** Does it; an `Unfit` says where it was. */
export function placed<T>({ table, line }: RowPlace, column: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Unfit)) throw error instanceof SyntaxError ? noRow({ table, line }) : error;
    throw new DguardError(
      'target_refused',
      `${table.label}, line ${line} of ${table.recorded.member}, column ${column}: ${error.message}`,
      {
        operation: 'translate',
        subject: table.label,
        hint: 'nothing was changed; restore to a datasource of its own type, or choose other tables: --only',
      },
    );
  }
}

function noRow({ table, line }: RowPlace): DguardError {
  return new DguardError('corrupt', `line ${line} of ${table.recorded.member} is not a row of the table`, {
    operation: 'read table',
    subject: table.label,
  });
}
