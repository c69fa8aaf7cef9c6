/** A name as SQL: `[a]]b]`. https://learn.microsoft.com/sql/relational-databases/databases/database-identifiers */
export function identifier(name: string): string {
  return `[${name.replaceAll(']', ']]')}]`;
}

/** A text as SQL. Nothing but the quote is special in it. */
export function literal(text: string): string {
  return `N'${text.replaceAll("'", "''")}'`;
}

/** A schema's object as SQL. */
export function qualified(schema: string, name: string): string {
  return `${identifier(schema)}.${identifier(name)}`;
}
