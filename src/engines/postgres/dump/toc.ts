import { tableName } from '../server/table-name.ts';

/** One entry of `pg_restore --list`: `3345; 0 16385 TABLE DATA public users owner`. */
export interface TocEntry {
  /** The dump's own number of it. */
  readonly id: string;
  /** What follows the numbers: type, schema, name and owner, with blanks between them and within them. */
  readonly text: string;
  readonly line: string;
}

export function parseToc(list: string): TocEntry[] {
  return list.split('\n').flatMap((line) => {
    const match = /^(\d+); \d+ \d+ (.+)$/.exec(line);
    return match ? [{ id: match[1]!, text: match[2]!, line }] : [];
  });
}

/** Whether an entry is the rows of one of the tables, named as it is listed. */
export function isDataOf(entry: TocEntry, tables: ReadonlySet<string>): boolean {
  return possibleNames(entry).some((name) => tables.has(name));
}

/**
 * What the table of a `TABLE DATA` entry may be called. The list separates by blanks what
 * may have blanks in it, so each way to cut it is one.
 */
export function possibleNames(entry: TocEntry): string[] {
  const rest = /^TABLE DATA (.+)$/.exec(entry.text)?.[1];
  const words = rest?.split(' ') ?? [];
  const names: string[] = [];
  // The last word or words are the owner.
  for (let nameEnd = words.length - 1; nameEnd >= 2; nameEnd--) {
    for (let schemaEnd = 1; schemaEnd < nameEnd; schemaEnd++) {
      names.push(tableName(words.slice(0, schemaEnd).join(' '), words.slice(schemaEnd, nameEnd).join(' ')));
    }
  }
  return names;
}

export function isTableData(entry: TocEntry): boolean {
  return entry.text.startsWith('TABLE DATA ');
}

export function isForeignKey(entry: TocEntry): boolean {
  return entry.text.startsWith('FK CONSTRAINT ');
}

/** Event triggers and what is said of them: created last, as everything that comes after them would fire them. */
export function isEventTrigger(entry: TocEntry): boolean {
  return /^(EVENT TRIGGER|(COMMENT|SECURITY LABEL) - EVENT TRIGGER) /.test(entry.text);
}

/** What the text of an entry that fills a materialised view begins with. */
export const VIEW_DATA = 'MATERIALIZED VIEW DATA ';

export function isViewData(entry: TocEntry): boolean {
  return entry.text.startsWith(VIEW_DATA);
}

/** A large object, its bytes, or what is said of it and allowed on it. */
export function isLargeObject(entry: TocEntry): boolean {
  return /^(BLOBS?|BLOB METADATA|(ACL|COMMENT|SECURITY LABEL) - LARGE OBJECTS?) /.test(entry.text);
}

export interface ForeignKey {
  readonly entry: string;
  readonly table: string;
  readonly references: string;
  /** The statement that adds it, without the semicolon. */
  readonly sql: string;
  /** What the text of the entry of its comment begins with, if it has one. */
  readonly comment: string;
}

const NAME = String.raw`(?:"(?:[^"]|"")+"|[\w$]+)`;
const FOREIGN_KEY = new RegExp(
  String.raw`^ALTER TABLE (?:ONLY )?(${NAME}\.${NAME})\s+ADD CONSTRAINT (${NAME}) [^;]*? REFERENCES (${NAME}\.${NAME})\(`,
  's',
);

/** The foreign keys in what `pg_restore --verbose -f -` writes of them: entry, its table, the other table. */
export function parseForeignKeys(sql: string): ForeignKey[] {
  return sql.split(/^-- TOC entry /m).flatMap((part) => {
    const entry = /^\d+/.exec(part)?.[0];
    const at = part.indexOf('ALTER TABLE');
    const sql = at < 0 ? '' : part.slice(at, part.lastIndexOf(';'));
    const match = FOREIGN_KEY.exec(sql);
    if (!entry || !match) return [];
    const [table, name, references] = [match[1]!, match[2]!, match[3]!];
    const [schema, relation] = table.match(new RegExp(NAME, 'g'))!;
    const comment = `COMMENT ${unquoted(schema!)} CONSTRAINT ${name} ON ${relation} `;
    return [{ entry, table: plain(table), references: plain(references), sql, comment }];
  });
}

function plain(qualified: string): string {
  const [schema = '', table = ''] = (qualified.match(new RegExp(NAME, 'g')) ?? []).map(unquoted);
  return tableName(schema, table);
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name;
}
