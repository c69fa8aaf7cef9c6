/** One object of an archive: what pg_restore runs to make it. */
export interface ArchiveEntry {
  /** `TABLE`, `CONSTRAINT`, `INDEX`, `FK CONSTRAINT`, … */
  readonly kind: string;
  readonly schema?: string;
  /** As pg_dump calls it: `users`, `users users_pkey`. */
  readonly tag: string;
  readonly section: 'none' | 'pre-data' | 'post-data';
  readonly sql: string;
}

const SECTIONS = { none: 1, 'pre-data': 2, 'post-data': 4 } as const;
/** pg_restore from PostgreSQL 12 on reads it. */
const VERSION = [1, 14, 0];
const [INT_BYTES, OFFSET_BYTES, CUSTOM_FORMAT, NO_DATA] = [4, 8, 1, 3];

/**
 * A custom archive of definitions, as `pg_dump --schema-only --format=custom` writes it.
 * Format: src/bin/pg_dump/pg_backup_archiver.c (WriteHead, WriteToc) and pg_backup_custom.c of PostgreSQL.
 */
export function definitionsArchive(entries: readonly ArchiveEntry[]): Buffer {
  const parts: Buffer[] = [];
  const int = (value: number) => {
    const bytes = Buffer.alloc(1 + INT_BYTES);
    bytes[0] = value < 0 ? 1 : 0;
    bytes.writeUInt32LE(Math.abs(value), 1);
    parts.push(bytes);
  };
  const text = (value: string | undefined) => {
    if (value === undefined) return int(-1);
    const bytes = Buffer.from(value);
    int(bytes.length);
    parts.push(bytes);
  };
  parts.push(Buffer.from('PGDMP'), Buffer.from([...VERSION, INT_BYTES, OFFSET_BYTES, CUSTOM_FORMAT]));
  // No compression; made at the beginning of 1970.
  for (const value of [0, 0, 0, 0, 1, 0, 70, 0]) int(value);
  for (const value of ['dguard', '13.0', '13.0']) text(value);
  int(entries.length);
  for (const [at, { kind, schema, tag, section, sql }] of entries.entries()) {
    int(at + 1);
    int(0);
    for (const value of ['0', '0', tag, kind]) text(value);
    int(SECTIONS[section]);
    for (const value of [sql, '', undefined, schema ?? '', undefined, undefined]) text(value);
    for (const value of ['', 'false']) text(value);
    text(undefined);
    parts.push(Buffer.from([NO_DATA]), Buffer.alloc(OFFSET_BYTES));
  }
  return Buffer.concat(parts);
}
