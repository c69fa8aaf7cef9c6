import type { Db, Timestamp } from 'mongodb';
import type { Server } from './connection.ts';
import { CODE, serverCode } from './failures.ts';

/** What a server says of itself. */
export interface ServerInfo {
  /** `MongoDB`, or the name of what answers in its place. */
  readonly product: string;
  /** As text: `7.0.14`; of another product its own, with the version that it answers as. */
  readonly version: string;
  /** Of MongoDB's protocol and features: [7, 0, 14]. */
  readonly numbers: readonly number[];
  readonly role: 'standalone' | 'primary' | 'secondary' | 'mongos' | 'other';
  readonly setName?: string;
  readonly maxDocumentBytes: number;
  readonly maxMessageBytes: number;
  /** The server's clock. */
  readonly now: Date;
}

interface Hello {
  readonly isWritablePrimary?: boolean;
  readonly secondary?: boolean;
  readonly msg?: string;
  readonly setName?: string;
  readonly maxBsonObjectSize?: number;
  readonly maxMessageSizeBytes?: number;
  readonly localTime?: Date;
}

export async function readServer(server: Server): Promise<ServerInfo> {
  const admin = server.client.db('admin');
  const hello = (await admin.command({ hello: 1 })) as Hello;
  const build = (await admin.command({ buildInfo: 1 })) as {
    version: string;
    versionArray?: number[];
    ferretdb?: { version?: string };
  };
  const ferret = build.ferretdb?.version?.replace(/^v/, '');
  return {
    product: build.ferretdb === undefined ? 'MongoDB' : 'FerretDB',
    version: build.ferretdb === undefined ? build.version : `${ferret ?? '?'} (as MongoDB ${build.version})`,
    numbers: build.versionArray ?? build.version.split('.').map(Number),
    role: roleOf(hello),
    ...(hello.setName === undefined ? {} : { setName: hello.setName }),
    maxDocumentBytes: hello.maxBsonObjectSize ?? 16 * 1024 * 1024,
    maxMessageBytes: hello.maxMessageSizeBytes ?? 48_000_000,
    now: hello.localTime ?? new Date(Number.NaN),
  };
}

function roleOf(hello: Hello): ServerInfo['role'] {
  if (hello.msg === 'isdbgrid') return 'mongos';
  if (hello.setName === undefined) return hello.isWritablePrimary === true ? 'standalone' : 'other';
  if (hello.isWritablePrimary === true) return 'primary';
  return hello.secondary === true ? 'secondary' : 'other';
}

/**
 * Whether the server can be told to leave Timestamp(0, 0) alone: 8.0, and the last releases of those before it
 * (SERVER-88750).
 */
export function keepsEmptyTimestamps({
  product,
  numbers: [major = 0, minor = 0, patch = 0],
}: ServerInfo): boolean {
  if (product !== 'MongoDB') return false;
  if (major >= 8) return true;
  const since: Readonly<Record<number, number>> = { 7: 13, 6: 17, 5: 29 };
  return minor === 0 && patch >= (since[major] ?? Number.POSITIVE_INFINITY);
}

/** The server's own clock, for what several hosts have to agree on. */
export async function serverNow(server: Server): Promise<Date> {
  const hello = (await server.client.db('admin').command({ hello: 1 })) as Hello;
  return hello.localTime ?? new Date(Number.NaN);
}

/** The first server with snapshot reads outside of transactions. */
const SNAPSHOT_MAJOR = 5;

/**
 * The cluster time at which all collections can be read, where the server really has such: it must name the
 * time that it read at, and refuse one that is long gone. A server that takes the option and reads
 * whatever is there now does neither.
 * https://www.mongodb.com/docs/manual/reference/read-concern-snapshot/
 */
export async function probeSnapshot(
  db: Db,
  collection: string,
  info: ServerInfo,
): Promise<Timestamp | undefined> {
  if ((info.numbers[0] ?? 0) < SNAPSHOT_MAJOR || info.role === 'standalone') return undefined;
  const { Timestamp: Time } = await import('mongodb');
  const read = (readConcern: object) =>
    db.command({ find: collection, limit: 1, singleBatch: true, projection: { _id: 1 }, readConcern });
  let at: unknown;
  try {
    at = ((await read({ level: 'snapshot' }))['cursor'] as { atClusterTime?: unknown }).atClusterTime;
  } catch (error) {
    if (serverCode(error) === CODE.unauthorized) throw error;
    return undefined;
  }
  if (!(at instanceof Time)) return undefined;
  try {
    await read({ level: 'snapshot', atClusterTime: new Time({ t: 1, i: 1 }) });
    return undefined;
  } catch (error) {
    const code = serverCode(error);
    return code === CODE.snapshotTooOld || code === CODE.snapshotUnavailable ? at : undefined;
  }
}
