/** What the engine needs to know of a `files` datasource. All paths and patterns are texts as users type them. */
export interface FilesOptions {
  /** Absolute paths of folders or files; several are neither the same nor inside each other. */
  readonly source_path: readonly string[];
  /** Empty: everything. */
  readonly include_patterns: readonly string[];
  readonly exclude_patterns: readonly string[];
  /** Mount points inside a source are kept as empty folders. */
  readonly one_file_system?: boolean;
  /** A folder that holds an entry of one of these names is kept with that entry alone. */
  readonly exclude_if_present?: readonly string[];
  /** The same for a CACHEDIR.TAG (https://bford.info/cachedir/); default true. */
  readonly exclude_caches?: boolean;
  /** How many undo copies a restore leaves; undefined: all. */
  readonly undo_keep?: number | undefined;
}
