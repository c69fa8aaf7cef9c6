/** What the configuration says about one SQLite datasource. */
export interface SqliteOptions {
  /** The database file; a relative path is relative to the working directory. */
  readonly file_path: string;
  /** Globs of table names; empty or absent: all. */
  readonly include_tables?: readonly string[];
  readonly exclude_tables?: readonly string[];
  /** How many undo copies a restore leaves; undefined: all. */
  readonly undo_keep?: number | undefined;
}
