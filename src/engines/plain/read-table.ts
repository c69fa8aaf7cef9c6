import type { PlainColumn } from './types.ts';

/** How a column's values are read: what its type is among plain ones. */
export interface ReadColumn extends Pick<PlainColumn, 'type' | 'decode'> {
  /** What becomes of it, in words, where its type is not plain: `text`. */
  readonly becomes?: string;
}

/** What every engine's `schema.json` says of a column. */
interface ColumnDocument {
  readonly name: string;
  readonly type: string;
  readonly not_null: boolean;
}

/** Columns as plain ones; `read` gives undefined for a type that has no like there, and the table is refused for it. */
export function readColumns<Document extends ColumnDocument>(
  documents: readonly Document[],
  read: (column: Document) => ReadColumn | undefined,
): { readonly columns: PlainColumn[]; readonly refusals: string[]; readonly losses: string[] } {
  const refusals: string[] = [];
  const losses: string[] = [];
  const columns = documents.flatMap((document): PlainColumn[] => {
    const { name, type, not_null: notNull } = document;
    const found = read(document);
    if (found === undefined) {
      refusals.push(type === '' ? `column ${name} has no type` : `column ${name} is ${type}`);
      return [];
    }
    if (found.becomes !== undefined) losses.push(`column ${name}, ${type}, becomes ${found.becomes}`);
    return [{ name, notNull, type: found.type, decode: found.decode }];
  });
  return { columns, refusals, losses };
}

/** The columns of the primary key, in its order. */
export function primaryKeyOf(
  columns: readonly { readonly name: string; readonly primary_key: number }[],
): string[] {
  return columns
    .filter(({ primary_key }) => primary_key > 0)
    .sort((a, b) => a.primary_key - b.primary_key)
    .map(({ name }) => name);
}

/** A loss in words, or none: `leftOut('defaults', of)`. */
export function leftOut(what: string, of: readonly { readonly name: string }[]): string[] {
  return of.length === 0 ? [] : [`${what} are left out: ${of.map(({ name }) => name).join(', ')}`];
}
