/** A running server, as the tests see it. */
export interface MongodbServer {
  /** What a suite calls it. */
  readonly label: string;
  readonly host: string;
  readonly port: number;
  /** Where it listens with TLS; undefined: nowhere. */
  readonly tlsPort: number | undefined;
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
/** `tls`: PEM files that anyone may read. Clients then need a certificate of that authority. */
export function startMongodb(options?: {
  tls?: { cert: string; key: string; ca: string };
}): Promise<MongodbServer>;
export function externalMongodb(): MongodbServer | undefined;
