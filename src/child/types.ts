import type { ErrorCode } from '../errors.ts';

export interface ChildOptions {
  /** All that the child inherits; nothing is added. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborting kills the child's process group: SIGTERM, and SIGKILL after `KILL_AFTER_MS`. */
  readonly signal: AbortSignal;
  readonly cwd?: string;
  /** Written to the child's stdin; undefined: it gets none. What it throws ends the child, and is the error. */
  readonly stdin?: AsyncIterable<Uint8Array>;
  /** How much output is gathered before it is handed on; default 1 MiB. 1: as it comes, for a dialogue. */
  readonly chunkBytes?: number;
  /** Secrets: taken out of what the child said before it gets into an error. */
  readonly redact?: readonly string[];
  /** What a failure of the child is; default `source_failed` with the program as operation. */
  readonly failure?: {
    readonly code: ErrorCode;
    readonly operation?: string;
    readonly subject?: string;
    readonly hint?: string;
  };
}

/** What is known besides of a child with much output. */
export interface OutputOptions {
  /**
   * For much output: a folder where a named pipe can be made for it for a moment. It is read without garbage then,
   * and each chunk is good until the next is asked for. Where none can be made, it is read as any other. A program of
   * the C library's is told to write it in as large pieces as the pipe holds, where stdbuf(1) knows how.
   */
  readonly pipeFolder?: string;
  /** What works may have another file system (chroot, nsenter, a container): no library of this one is given to it. */
  readonly elsewhere?: boolean;
}

export interface Child {
  /** In chunks of about 1 MiB. Throws, never merely ends, when the child failed. Read once. */
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Settles when the child is gone and its output was read; rejects like `stdout`. Nobody has to look at it. */
  readonly done: Promise<ChildEnd>;
  /** Undefined where it could not be started. */
  readonly pid: number | undefined;
}

export interface ChildEnd {
  /** What it wrote to stderr, of much the beginning and the end, redacted. */
  readonly stderr: string;
  /** It closed its stdin, or ended, before it had read everything. */
  readonly stdinCutShort: boolean;
  /** The reader of stdout went away early, and the child was stopped for it. */
  readonly stopped: boolean;
}
