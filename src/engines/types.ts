import type { ContentEntry } from '../archive/entry.ts';
import type { DatasourceType } from '../config/types/datasources.ts';
import type { HostFacts } from '../runtime.ts';
import type { DiagnoseRequest, Finding, Health } from './health.ts';
import type { Member } from './member.ts';
import type { PlainForm } from './plain/types.ts';
import type { TargetSwaps } from './swaps.ts';

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

export interface EngineCapabilities {
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
  /** Something of dguard's own stays behind and takes room, which a test restore says too. */
  readonly stays?: true;
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

export interface TableFact {
  readonly name: string;
  readonly rows?: number;
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

export interface RestoreRequest<Options> extends TargetRequest<Options> {
  /** Paths or table globs; empty: everything. */
  readonly only: readonly string[];
  /** What is at the target may be replaced: as a whole where `content.whole`, else object by object. */
  readonly overwrite: boolean;
  /** A merge also removes (keeps for undo) what the backup does not hold. */
  readonly deleteExtra: boolean;
  readonly dryRun: boolean;
  /** A folder that is not there, and that a restore has made before it asks: a dry run takes it as made, and empty. */
  readonly folderToCome?: string;
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
