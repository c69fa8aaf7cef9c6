import { createFingerprint } from '../jsonl/fingerprint.ts';
import type { PlainColumn, PlainValue } from './types.ts';
import { canonicalText } from './values.ts';

/** Rows and a sum over them that does not depend on their order. */
export interface RowsDigest {
  add(row: readonly PlainValue[]): void;
  readonly rows: () => number;
  readonly sum: () => string;
}

/** `columns` say of what types the values of a row were at first: the same value has the same text from anywhere. */
export function createDigest(columns: readonly Pick<PlainColumn, 'type'>[]): RowsDigest {
  const print = createFingerprint();
  return {
    rows: () => print.documents,
    sum: () => print.sum(),
    add(row) {
      const texts = columns.map(({ type }, at) => {
        const value = row[at] ?? null;
        if (value === null) return 'n;';
        const text = canonicalText(value, type);
        return `${text.length}:${text}`;
      });
      print.add(Buffer.from(texts.join('')));
    },
  };
}
