import type { DatasourceType } from '../config/types.ts';
import type { HostFacts } from '../runtime.ts';
import type { PlainForm } from './plain/types.ts';

/**
 * The contract of an engine: it turns a datasource into members (streams or trees) inside one snapshot,
 * and members back into a datasource. It knows nothing of blocks, codecs, storages or manifests.
 */
export interface Engine<Options = unknown> {
  readonly type: DatasourceType;
  readonly capabilities: EngineCapabilities;

  /** Looks at the source without changing it. Never throws for what a health status can say. */
  probe(source: EngineSource<Options>): Promise<Health>;

  /**
   * Looks deeper than `probe`, for `doctor`: what would make a backup or a restore fail, or hold less than it
   * should, and exactly how to mend that. Changes nothing. Throws where it cannot look.
   */
  diagnose?(source: EngineSource<Options>, request: DiagnoseRequest): Promise<readonly Finding[]>;

  /**
   * Opens the source's snapshot. Preflight belongs here: a source that cannot be dumped throws before
   * anything is written anywhere. The caller always calls `close`, also after an error or an abort.
   */
  dump(source: EngineSource<Options>, request: DumpRequest): Promise<Dump>;

  /**
   * Loads a backup beside the target, compares, swaps. Everything from `content` was proven before it
   * gets here. A restore that throws leaves the target as it was.
   */
  restore(content: BackupContent, request: RestoreRequest<Options>): Promise<RestoreOutcome>;

  /**
   * `verify --level content`, the engine's own part: does what was decoded parse (a database file's own
   * integrity check, a dump's end marker, a tar's walk)? Returns one finding per problem.
   */
  inspect(content: BackupContent, request: InspectRequest<Options>): Promise<readonly string[]>;

  /** The databases that a datasource names (a list, or `all`), each to be a backup of its own. */
  databases?(source: EngineSource<Options>): Promise<readonly string[]>;

  /** How its JSONL exports are tables that another engine can hold, and back; absent where it has none such. */
  readonly plain?: PlainForm;

  /**
   * Opens what another tool wrote, and dguard did not: a folder of mongodump. Nothing recorded what it should hold.
   * Absent where none is read. Errors: `unknown_name`, `nothing_there`, `unsupported`, `usage`, `corrupt`.
   */
  readonly openDump?: (path: string, request: OpenDumpRequest) => Promise<ToolDump>;

  /** How a replaced target is kept and taken back; absent where the engine replaces nothing. */
  readonly swaps?: TargetSwaps<Options>;
}

/**
 * What a swap leaves beside a target. Only what carries dguard's own mark is ever looked at or removed, and
 * all of it passes over everything else.
 */
export interface TargetSwaps<Options = unknown> {
  /**
   * Finishes or reverts swaps of this target that were interrupted, by their journal, so that it is old or
   * new. Cheap where there is none, and safe to repeat. Returns what was done, in words.
   */
  recover(target: TargetRequest<Options>): Promise<readonly string[]>;
  /** The undo copies of this target, newest first. */
  undoCopies(target: TargetRequest<Options>): Promise<readonly UndoCopy[]>;
  /** Puts the newest undo copy back by a swap of the same kind; what it replaces becomes an undo copy. */
  undo(target: TargetRequest<Options>): Promise<UndoOutcome>;
  /** Removes undo copies beyond the newest `keep`. Returns what was removed. */
  dropUndo(target: TargetRequest<Options>, keep: number): Promise<readonly UndoCopy[]>;
  /** Removes scratch places of earlier test restores that were killed. Returns what was removed, in words. */
  dropScratch?(target: TargetRequest<Options>): Promise<readonly string[]>;
}

export interface OpenDumpRequest {
  readonly signal: AbortSignal;
  readonly warn: (warning: Warning) => void;
}

/** What another tool wrote. */
export interface ToolDump {
  readonly content: BackupContent;
  /** Whose it is: `mongodump`. */
  readonly tool: string;
  /** The database that it is of. */
  readonly database: string;
  /** The folder of that database. */
  readonly path: string;
}

/** A place that was or will be restored to. */
export interface TargetRequest<Options = unknown> {
  /** The datasource that it is, or whose server it is at; undefined for a bare path. */
  readonly source?: EngineSource<Options>;
  /** A path (files, sqlite) or a database name; both undefined: the source's own place. */
  readonly toPath?: string;
  readonly toDatabase?: string;
  readonly signal: AbortSignal;
  readonly now: () => Date;
  readonly host: HostFacts;
  readonly tempDir: string;
  readonly warn: (warning: Warning) => void;
}

export interface UndoCopy {
  /** A path, or a database name. */
  readonly name: string;
  /** The backup whose restore replaced it. */
  readonly backupId: string;
  readonly createdAt: Date;
  readonly sizeBytes?: number;
}

export interface UndoOutcome {
  readonly target: string;
  /** The undo copy that is back in place. */
  readonly restored: UndoCopy;
  /** Where the data that it replaced is kept. */
  readonly undo?: string;
}

export interface EngineCapabilities {
  readonly formats: readonly ('native' | 'jsonl')[];
  /** What `--only` and `--exclude` name. */
  readonly selects: 'paths' | 'tables';
  /** What a restore can be directed to. */
  readonly targets: readonly ('path' | 'database')[];
}

/** One datasource as an engine sees it. */
export interface EngineSource<Options> {
  readonly name: string;
  readonly options: Options;
  readonly signal: AbortSignal;
  /** For staging: 0700, removed by the caller afterwards. */
  readonly tempDir: string;
  readonly host: HostFacts;
  readonly now: () => Date;
  /** What child processes inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly warn: (warning: Warning) => void;
}

/** Something a person should know about a backup. `partial` makes the backup's status `partial`. */
export interface Warning {
  readonly message: string;
  /** The file, table or object; a byte string as in `EntryRecord.path`. */
  readonly subject?: string;
  readonly partial: boolean;
}

export type Health = {
  readonly status: 'ok' | 'timeout' | 'auth_failed' | 'unreachable' | 'error';
  readonly message?: string;
  /** Until it was connected and authenticated. */
  readonly latencyMs?: number;
  readonly serverVersion?: string;
  /** Of all databases of the datasource, as far as the server tells. */
  readonly sizeBytes?: number;
  /**
   * What else is known, by names in snake_case. The same thing has the same name in every engine:
   * `uptime_seconds`, `connections`, `active_queries`, `max_connections`, `free_bytes` (of its disk).
   */
  readonly facts?: Readonly<Record<string, string | number>>;
};

export interface DiagnoseRequest {
  /** A job that backs the source up, for the commands in fixes; undefined where none does. */
  readonly job?: string;
}

/** One thing that `doctor` found. */
export interface Finding {
  /** `problem`: a backup or a restore fails, or holds less; `warning`: one may; `notice`: good to know. */
  readonly severity: 'problem' | 'warning' | 'notice';
  /** What it is about, for scripts. */
  readonly topic: FindingTopic;
  /** The database, file or place, where it is not the whole of what was looked at. */
  readonly subject?: string;
  /** What is, and what follows from it. */
  readonly message: string;
  readonly fix?: Fix;
}

export type FindingTopic =
  | 'connection'
  | 'privileges'
  | 'tools'
  | 'consistency'
  | 'locks'
  | 'replication'
  | 'space'
  | 'clock'
  | 'leftovers'
  | 'permissions'
  | 'support';

/** What mends a finding, ready to be run or written as it stands. */
export interface Fix {
  /** `sql`: as an administrator of the server; `shell`: here, as root where it must be; `config`: into backup.yaml. */
  readonly by: 'sql' | 'shell' | 'config';
  /** The database to be connected to, where it matters. */
  readonly database?: string;
  readonly lines: readonly string[];
}

export interface DumpRequest {
  /** Which of the source's databases; undefined for what has only one, or none. */
  readonly database?: string;
  readonly format: 'native' | 'jsonl';
  /** Globs of tables, or patterns of paths, on top of the datasource's own. Empty: all. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly parallelJobs: number;
  /** Absolute paths that no engine may read: dguard's own destinations, temp_dir, undo copies. */
  readonly ownPaths: readonly string[];
}

/** An open snapshot. */
export interface Dump {
  /** The moment that the data is of. */
  readonly snapshotAt: Date;
  /** What the source is, whatever it is called: `source_identity` of the manifest. */
  readonly identity: string;
  /** How many bytes of members are to be expected, where known: for progress and free space. */
  readonly expectedBytes?: number;
  /** The patterns in force, for the manifest; undefined when the whole source is dumped. */
  readonly patterns?: { include: readonly string[]; exclude: readonly string[] };
  /** Paths that the backup is of, for a restore in place (files: its source paths). */
  readonly sources?: readonly SourceRoot[];
  /** Members in the order of their paths; each is consumed to its end before the next is asked for. */
  members(): AsyncIterable<Member>;
  /** What was learnt inside the snapshot. Called after the last member was consumed. */
  facts(): Promise<DumpFacts>;
  close(): Promise<void>;
}

export interface SourceRoot {
  /** Absolute path at the source host; a byte string (see EntryRecord.path). */
  readonly path: string;
  /** The path in the backup that stands for it; empty for the backup's own root. */
  readonly entry: string;
  readonly kind: 'directory' | 'file';
}

export interface DumpFacts {
  readonly database_version?: string;
  readonly tool?: string;
  readonly tool_version?: string;
  readonly consistency: 'snapshot' | 'point-in-time' | 'none';
  readonly extensions?: readonly string[];
  readonly schema_sha256?: string;
  readonly tables_count?: number;
  readonly rows?: number;
  readonly files_count?: number;
  readonly engine_output?: string;
  /** What the engine's own restore needs to know of the source: owner, encoding, settings … Plain JSON. */
  readonly engine?: Readonly<Record<string, unknown>>;
}

export type Member = StreamMember | TreeMember;

/** One logical byte stream: a dump, a database file, a JSONL table. */
export interface StreamMember {
  readonly kind: 'stream';
  /** Its path among the backup's entries, and what `cat` and `ls` call it: `database.db`, `users.jsonl`. */
  readonly path: string;
  /** IANA media type. */
  readonly media: string;
  /** How to read it: `sqlite3`, `pg_dump-custom`, `sql`, `jsonl` … */
  readonly format: string;
  /**
   * The bytes, each chunk valid until the next is asked for. Throws (never merely ends) when the source
   * failed. Called once.
   */
  open(): AsyncIterable<Uint8Array>;
  /** The tables in it with their rows, asked for after the stream ended. */
  tables?(): Promise<readonly TableFact[]>;
}

export interface TableFact {
  readonly name: string;
  readonly rows?: number;
}

/** Many entries in one tar artifact. */
export interface TreeMember {
  readonly kind: 'tree';
  /** The artifact's name without codec suffix: `files.tar`. */
  readonly path: string;
  readonly media: 'application/x-tar';
  readonly format: 'tar';
  /** Entries in the order of a sorted depth-first walk (`compareEntryPaths`), in batches that bound memory and hold until the next is asked for. */
  entries(): AsyncIterable<Iterable<TreeItem>>;
}

export interface TreeItem {
  readonly entry: EntryRecord;
  /** Content of a regular file: all of it, or a reader for one that is too large to hold. */
  readonly content?: Uint8Array | LargeContent;
}

/** A large file, read while it is written to the archive. */
export interface LargeContent {
  readonly sizeBytes: number;
  /**
   * Fills `into` from its start and returns how many bytes it wrote, 0 only at the end. Never more than
   * `sizeBytes` in all. A file that turned out shorter is filled up with zeros, with a warning.
   */
  read(into: Uint8Array): number;
  /** Called once after the last byte (or on abort): closes, compares the file with its recorded stat. */
  finish(): { unsure: boolean };
}

export type EntryKind =
  | 'directory'
  | 'file'
  | 'symlink'
  | 'hardlink'
  | 'fifo'
  | 'socket'
  | 'char_device'
  | 'block_device';

/**
 * One thing in a tree. Paths, link targets, owner names and xattr names are byte strings: JavaScript
 * strings whose char codes are the bytes (`Buffer.toString('latin1')`), so that names that are not UTF-8 survive.
 */
export interface EntryRecord {
  /** Relative, `/`-separated, no empty, `.` or `..` part; empty for the root itself. */
  path: string;
  kind: EntryKind;
  /** Content length of a file, 0 of anything else. */
  size: number;
  /** Nanoseconds since the epoch. */
  mtimeNs: bigint;
  ctimeNs: bigint;
  ino: bigint;
  dev: bigint;
  /** Permission bits with set-id and sticky bits (07777). */
  mode: number;
  uid: number;
  gid: number;
  user?: string;
  group?: string;
  /** Symlink: its target as it stands. Hard link: the path of the entry of this backup that it is another name of. */
  link?: string;
  /** Regular files with several names: a number shared by all of them (the first is kind `file`). */
  linkGroup?: number;
  /** Extended attributes, ACLs among them (`system.posix_acl_access`). */
  xattrs?: readonly { name: string; value: Uint8Array }[];
  device?: { major: number; minor: number };
  /** Holes at the source: a restore writes no runs of zeros. */
  sparse?: boolean;
  /** SHA-256 (hex) of the content, of files that were read whole. */
  sha256?: string;
  /** It changed while it was read, or was modified within 2 s of it: always read again. */
  unsure?: boolean;
}

/** A backup's proven content: every block's hash held before its bytes come out of here. */
export interface BackupContent {
  readonly facts: DumpFacts;
  /** The database that it is of, where its source has several. */
  readonly database?: string;
  /** The patterns that its source was reduced by; undefined: none. */
  readonly patterns?: { readonly include: readonly string[]; readonly exclude: readonly string[] };
  /** A completed backup of all of its source: only such a one may take the place of a whole target. */
  readonly whole: boolean;
  readonly sources: readonly SourceRoot[];
  /** All entries in order; `only` filters by path or glob, with the folders above what matches. */
  entries(options?: { only?: readonly string[] }): AsyncIterable<ContentEntry>;
  /** One entry by its exact path, or undefined. */
  entry(path: string): Promise<ContentEntry | undefined>;
  /** The bytes of a file or stream entry, in order, each chunk at most 4 MiB. */
  read(entry: ContentEntry): AsyncIterable<Uint8Array>;
  /** A file or stream cut at these positions of its content, ascending: entries to be read by themselves. */
  parts(entry: ContentEntry, cuts: readonly number[]): Promise<readonly ContentEntry[]>;
  /**
   * The bytes of many entries in the order given, decoded ahead in parallel: chunks carry which entry they
   * are of and where in it they belong; their bytes are valid until the next is asked for. Empty files make no chunk.
   */
  readAll(entries: AsyncIterable<ContentEntry> | Iterable<ContentEntry>): AsyncIterable<ContentChunk>;
}

export interface ContentChunk {
  readonly entry: ContentEntry;
  /** Position of `bytes` in the entry's content. */
  readonly position: number;
  readonly bytes: Uint8Array;
  /** True with the entry's last byte. */
  readonly last: boolean;
}

/** An entry as read back from a backup's index. */
export type ContentEntry =
  | ({ readonly type: 'tree' } & Readonly<EntryRecord> & { readonly slices: readonly Slice[] })
  | {
      readonly type: 'stream';
      readonly path: string;
      readonly kind: 'stream';
      readonly size: number;
      readonly media: string;
      readonly format: string;
      readonly slices: readonly Slice[];
    }
  | {
      readonly type: 'table';
      readonly path: string;
      readonly kind: 'table';
      readonly member: string;
      readonly table: string;
      readonly rows?: number;
    };

/** A run of bytes in consecutive blocks of one artifact: it starts `offset` bytes into block `block`. */
export interface Slice {
  /** The random part of the id of the backup that stores the blocks. */
  readonly origin: string;
  readonly artifact: number;
  readonly block: number;
  readonly offset: number;
  readonly length: number;
}

export interface RestoreRequest<Options> extends TargetRequest<Options> {
  /** Paths or table globs; empty: everything. */
  readonly only: readonly string[];
  /** What is at the target may be replaced: as a whole where `content.whole`, else object by object. */
  readonly overwrite: boolean;
  /** A merge also removes (keeps for undo) what the backup does not hold. */
  readonly deleteExtra: boolean;
  readonly dryRun: boolean;
  /** Absolute paths that are dguard's own: they are not touched, whatever the backup holds. */
  readonly ownPaths?: readonly string[];
  /** Set-uid bits and devices are restored (as root). */
  readonly privileged: boolean;
  /** Roles that the backup's database needs and the target's server lacks are made first. */
  readonly roles?: boolean;
  /** A unique index that documents of the backup stand against is built without `unique`, and named, instead of an error. */
  readonly allowDuplicates?: boolean;
  /** So many connections load at a time, where an engine can; undefined: as many as the engine thinks good. */
  readonly parallelJobs?: number;
  /**
   * A test restore (`verify --level restore`): into a marked scratch place of the engine's own (or `toPath`,
   * where there is one), compared with what was recorded, removed again before this resolves or throws.
   */
  readonly scratch: boolean;
  /**
   * Backs up what is at the target: to be awaited before anything is replaced that cannot be kept for undo.
   * Its id, or undefined where the user wants none. Throws: then nothing may be replaced.
   */
  readonly safety?: () => Promise<string | undefined>;
  /**
   * Looks at what was loaded, once it was compared with the backup's records and before it takes the target's place.
   * Throws: then the target stays as it is.
   */
  readonly prove?: (loaded: LoadedPlace) => Promise<void>;
  /** The backup's id, for names and marks of staging and undo copies. */
  readonly backupId: string;
  readonly onProgress: (bytesDone: number, filesDone: number) => void;
}

/** Where a restore has loaded to, for the time being. */
export interface LoadedPlace {
  readonly database?: string;
  readonly path?: string;
}

export interface RestoreOutcome {
  /** Where the data is now (or would be, on a dry run). */
  readonly target: string;
  readonly filesCount?: number;
  readonly sizeBytes: number;
  readonly tables?: readonly TableFact[];
  /** Where the replaced data was kept. */
  readonly undo?: string;
  /** The backup that holds the replaced data, where it could not be kept. */
  readonly safety?: string;
  /** What would be done, in words, on a dry run. */
  readonly plan?: readonly string[];
}

export interface InspectRequest<Options = unknown> {
  /** The datasource's, where it is configured here: where its tools are. */
  readonly options?: Options;
  /** What child processes inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly tempDir: string;
  readonly signal: AbortSignal;
  readonly onProgress: (bytesDone: number) => void;
}
