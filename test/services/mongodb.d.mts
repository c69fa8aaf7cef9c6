/** A running server, as the tests see it. */
export interface MongodbServer {
  /** What a suite calls it. */
  readonly label: string;
  readonly host: string;
  readonly port: number;
  /** The administrator, of the database `admin`. */
  readonly user: string;
  readonly password: string;
  readonly pid: number | undefined;
  /** Ends the process, keeps the data. */
  halt(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again after `halt`. */
  resume(): Promise<void>;
  /** Ends it and removes its data. */
  stop(): Promise<void>;
}

export function hasMongodb(): boolean;
export function mongoTools(): { mongodump: string; mongorestore: string } | undefined;
export function startMongodb(): Promise<MongodbServer>;
export function externalMongodb(): MongodbServer | undefined;
