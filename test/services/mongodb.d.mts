import type { Server } from './server.d.mts';

/** A running server, as the tests see it. */
export interface MongodbServer extends Server {
  /** Where it listens with TLS; undefined: nowhere. */
  readonly tlsPort: number | undefined;
  /** The administrator, of the database `admin`. */
  readonly user: string;
}

export function hasMongodb(): boolean;
export function mongoTools(): { mongodump: string; mongorestore: string } | undefined;
/** `tls`: PEM files that anyone may read. Clients then need a certificate of that authority. */
export function startMongodb(options?: {
  tls?: { cert: string; key: string; ca: string };
}): Promise<MongodbServer>;
export function externalMongodb(): MongodbServer | undefined;
