/** A running server, as the tests see it. */
export interface Server {
  /** What a suite calls it. */
  readonly label: string;
  readonly host: string;
  readonly port: number;
  /** The superuser. */
  readonly user: string;
  readonly password: string;
  /** undefined: it is somebody else's, and is not stopped. */
  readonly pid: number | undefined;
  /** Ends the process, keeps the data. */
  halt(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again after `halt`. */
  resume(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}
