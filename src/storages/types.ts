/**
 * The contract of a storage: a flat space of immutable objects named by keys.
 *
 * - A key is `/`-separated, every part matching `[A-Za-z0-9._%=-]+` and none being `.` or `..`.
 * - Differences between storages are data (`capabilities`), never a type check by the caller.
 * - Retry, rate limit, fault injection are wrappers around this interface.
 */
export interface Storage {
  /** The registry's name: `local`, `s3` … */
  readonly type: string;
  /** For messages: where this is, without any secret. */
  readonly label: string;
  readonly capabilities: StorageCapabilities;

  /**
   * Stores a new object. A chunk's bytes are valid until the next is asked for: what is kept longer is
   * copied. Exclusive: an existing key is `storage_exists`, its object untouched. Atomic:
   * the key is listed with all its bytes or not at all. Durable once the promise resolves, every newly
   * made ancestor included. If the body throws or `signal` aborts, nothing is left under the key and
   * the body's own error is thrown. Errors: storage_exists, storage_full, storage_missing, storage_failed.
   */
  put(key: string, body: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<StoredObject>;

  /**
   * The bytes of an object, or of a range of it, in order. A range outside of the object ends early
   * (the caller knows the length it asked for). A missing object is `storage_not_found`.
   */
  get(key: string, options?: GetOptions): AsyncIterable<Uint8Array>;

  /** The object's facts, or undefined if there is none. Any other trouble throws. */
  stat(key: string, options?: CallOptions): Promise<StoredObject | undefined>;

  /**
   * All objects whose key starts with `prefix` (which is empty or ends in `/`), ordered by key's bytes.
   * An error is thrown, never an empty or shortened list. Leftovers of interrupted puts are not listed.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<StoredObject>;

  /** Removes an object. One that is not there is no error. Never removes anything else than an object under this key. */
  delete(key: string, options?: CallOptions): Promise<void>;

  /**
   * Removes what puts that were killed have left and no listing shows, as far as it was last written before
   * `olderThan` (which leaves a day for clocks that differ). Absent where a put leaves nothing.
   */
  sweepLeftovers?(olderThan: Date, options?: CallOptions): Promise<Leftovers>;

  /** Free and used space where the storage can tell. */
  space(options?: CallOptions): Promise<StorageSpace>;

  /** Lets go of connections. Idempotent. */
  close(): Promise<void>;
}

export interface Leftovers {
  readonly count: number;
  readonly bytes: number;
}

export interface CallOptions {
  signal?: AbortSignal;
}
export interface ListOptions extends CallOptions {
  /** Objects of this name (the last part of their keys) are read next: what can, hands their bytes along. */
  readNext?: string;
}
export interface PutOptions extends CallOptions {
  /** The body's length where it is known; a body of another length is an error. */
  sizeBytes?: number;
}
export interface GetOptions extends CallOptions {
  offset?: number;
  length?: number;
  /** At least `length` bytes that the answer may be put in, one chunk behind the other: saves fresh memory. */
  room?: Buffer;
}

export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** By the storage's own clock. */
  readonly modifiedAt: Date;
  /** All that it holds, at times, where a listing was told what is read next. */
  readonly bytes?: Uint8Array;
}

export interface StorageSpace {
  /** Bytes that can still be written (also by `max_size_gb`), undefined where nobody knows. */
  freeBytes?: number;
  /** The limit that the configuration sets, if any. */
  limitBytes?: number;
}

export interface StorageCapabilities {
  /** False where only reading is possible (credentials, a mounted snapshot). */
  readonly writable: boolean;
  /** Reached over a network: latency and its own clock. */
  readonly remote: boolean;
}

/** What a storage's factory gets besides its own options. */
export interface StorageContext {
  /** The destination's name in the configuration, for messages. */
  readonly name: string;
  readonly warn: (message: string) => void;
}
