import type { Db, Timestamp } from 'mongodb';
import { compareEntryPaths } from '../../../archive/paths.ts';
import { DguardError } from '../../../errors.ts';
import { createFingerprint } from '../../jsonl/fingerprint.ts';
import type { Member } from '../../member.ts';
import type { Dump, DumpFacts, DumpRequest, EngineSource } from '../../types.ts';
import type { MongodbOptions } from '../options.ts';
import { holdsOthers, isMoving, listMarks, type Mark, ownCollections } from '../restore/marks.ts';
import { selectCollections } from '../select.ts';
import {
  type CollectionInfo,
  type CollectionSize,
  catalogHash,
  collectionSize,
  listCollections,
  storedIn,
} from '../server/catalog.ts';
import { onlyDatabase, openServer, type Server } from '../server/connection.ts';
import { serverError } from '../server/failures.ts';
import { MARK_COLLECTION } from '../server/names.ts';
import { readCollection } from '../server/read.ts';
import { probeSnapshot, readServer, type ServerInfo } from '../server/server-info.ts';
import type { SourceFacts } from './facts.ts';
import { type CollectionDump, inMemberOrder, jsonlMembers, nativeMembers } from './members.ts';
import { type ReadAhead, readAhead } from './prefetch.ts';

/** Read ahead of who writes the backup, of all collections together: less than one of the largest documents. */
const AHEAD_BYTES = 8 * 1024 * 1024;

/**
 * Offers one database in mongodump's layout, or as JSONL, read through the driver: at one cluster time
 * where the server has snapshots, else as it is while it is read.
 */
export async function dumpDatabase(
  source: EngineSource<MongodbOptions>,
  request: DumpRequest,
): Promise<Dump> {
  let server: Server | undefined;
  const dumps: CollectionDump[] = [];
  const close = async () => {
    const stopping = dumps.map(({ ahead }) => ahead?.stop());
    await server?.close();
    await Promise.allSettled(stopping);
  };
  let subject = source.name;
  try {
    server = await openServer(source);
    const name = request.database ?? onlyDatabase(server);
    subject = `${source.name}/${name}`;
    const { client } = server;
    const db = client.db(name);
    const info = await readServer(server);
    await refuseMoving(db, subject);
    const own = await ownCollections(db);
    const there = await listCollections(db);
    const all = there.filter((collection) => !own.has(collection.name));
    if (there.some((collection) => collection.name === MARK_COLLECTION) && (await holdsOthers(db))) {
      const message = `not backed up: documents of somebody else in ${MARK_COLLECTION}, which is dguard's journal in every database; rename the collection`;
      source.warn({ message, subject, partial: true });
    }
    if (all.length === 0) await refuseMissing(server, name, subject);
    const collections = selectCollections(all, name, request, subject, source.warn);
    const at = await snapshotOf(db, collections, info);
    const snapshotAt = source.now();
    const patterned = request.include.length > 0 || request.exclude.length > 0;
    const sizes = await sizesOf(db, collections);
    dumps.push(
      ...inMemberOrder(collections).map((collection) =>
        dumpOf(db, collection, sizes?.get(collection.name), at, request, source),
      ),
    );
    const members = (request.format === 'jsonl' ? jsonlMembers : nativeMembers)(name, dumps, (turn) =>
      startNext(dumps, turn, request.parallelJobs),
    );
    const identity = identityOf(server, info);
    return {
      snapshotAt,
      identity: `${identity}/${name}`,
      ...(sizes === undefined ? {} : { expectedBytes: sum([...sizes.values()].map(({ bytes }) => bytes)) }),
      ...(patterned ? { patterns: { include: request.include, exclude: request.exclude } } : {}),
      members: () => inOrder(members),
      async facts(): Promise<DumpFacts> {
        await refuseChanged(db, collections, subject, source);
        const stored = dumps.filter(({ ahead }) => ahead !== undefined);
        const engine: SourceFacts = {
          product: info.product,
          version: info.version,
          database: name,
          role: info.role,
          ...(info.setName === undefined ? {} : { set_name: info.setName }),
          ...(at === undefined
            ? {}
            : { cluster_time: { t: at.getHighBitsUnsigned(), i: at.getLowBitsUnsigned() } }),
          views: collections.filter(({ type }) => type === 'view').length,
          time_series: collections.filter(({ type }) => type === 'timeseries').length,
          late: Object.fromEntries(
            dumps.flatMap(({ info: { name: collection }, late, dumped }) =>
              late === true && dumped !== undefined ? [[collection, dumped]] : [],
            ),
          ),
        };
        return {
          database_version: `${info.product} ${info.version}`,
          tool: 'mongodb driver',
          tool_version: client.options.metadata.driver.version,
          consistency: at === undefined ? 'none' : 'snapshot',
          schema_sha256: catalogHash(collections),
          tables_count: stored.length,
          rows: sum(stored.map(({ print }) => print.documents)),
          engine: { ...engine },
        };
      },
      close,
    };
  } catch (error) {
    await close();
    throw serverError(error, 'source_failed', 'dump', subject);
  }
}

async function* inOrder(members: readonly Member[]): AsyncGenerator<Member> {
  yield* [...members].sort((a, b) => compareEntryPaths(a.path, b.path));
}

function dumpOf(
  db: Db,
  info: CollectionInfo,
  size: CollectionSize | undefined,
  at: Timestamp | undefined,
  { parallelJobs }: DumpRequest,
  source: EngineSource<MongodbOptions>,
): CollectionDump {
  const print = createFingerprint();
  const stored = storedIn(info);
  if (stored === undefined) return { info, print };
  const read = {
    signal: source.signal,
    subject: `${source.name}/${db.databaseName}.${info.name}`,
    ...(at === undefined ? {} : { at }),
    ...(size?.averageBytes === undefined ? {} : { averageBytes: size.averageBytes }),
  };
  const room = AHEAD_BYTES / Math.max(1, parallelJobs);
  const ahead: ReadAhead = readAhead(() => readCollection(db, stored, print, read), room);
  return { info, print, ahead, fits: size !== undefined && size.bytes < room / 2 };
}

/**
 * The collection whose turn it is, and of those that wait for theirs the next ones that are small enough to be read
 * to their end meanwhile: a cursor that waits is given up by its server after ten minutes.
 */
function startNext(dumps: readonly CollectionDump[], turn: CollectionDump, jobs: number): void {
  turn.ahead?.start();
  const waiting = dumps.slice(dumps.indexOf(turn) + 1).filter(({ ahead }) => ahead !== undefined);
  for (const { ahead, fits } of waiting.slice(0, jobs - 1)) if (fits === true) ahead!.start();
}

async function snapshotOf(
  db: Db,
  collections: readonly CollectionInfo[],
  info: ServerInfo,
): Promise<Timestamp | undefined> {
  const first = collections.map(storedIn).find((name) => name !== undefined);
  return first === undefined ? undefined : await probeSnapshot(db, first, info);
}

/** By collection; undefined where the server does not say. */
async function sizesOf(
  db: Db,
  collections: readonly CollectionInfo[],
): Promise<ReadonlyMap<string, CollectionSize> | undefined> {
  const sizes = new Map<string, CollectionSize>();
  for (const collection of collections) {
    const name = storedIn(collection);
    if (name === undefined) continue;
    const size = await collectionSize(db, name);
    if (size === undefined) return undefined;
    sizes.set(collection.name, size);
  }
  return sizes;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** What the source is: a replica set by its name, anything else by where it answers. */
export function identityOf({ connection }: Server, { setName, role }: ServerInfo): string {
  if (setName !== undefined) return `replica set ${setName}`;
  return `${role === 'mongos' ? 'sharded ' : ''}${connection.place}`;
}

/**
 * While a restore swaps collections, by whichever host, some are not there, or hold a part of what they will.
 * Throws `locked`.
 */
async function refuseMoving(db: Db, subject: string): Promise<void> {
  let marks: readonly Mark[];
  try {
    marks = await listMarks(db);
  } catch (error) {
    throw serverError(error, 'source_failed', 'look for restores', subject);
  }
  const moving = marks.find(isMoving);
  if (moving === undefined) return;
  throw new DguardError('locked', `a restore of ${moving.backupId} is replacing collections`, {
    operation: 'dump',
    subject,
    hint: 'run the backup again when it is done; one that was interrupted is ended by: dguard restore --recover',
  });
}

/**
 * A collection that was dropped or made anew while it was read ends like one that was read to its end, on
 * some servers. What was only altered is as its metadata says, of the moment when the dump began.
 */
async function refuseChanged(
  db: Db,
  collections: readonly CollectionInfo[],
  subject: string,
  { warn }: EngineSource<MongodbOptions>,
): Promise<void> {
  await refuseMoving(db, subject);
  let now: ReadonlyMap<string, CollectionInfo>;
  try {
    now = new Map((await listCollections(db)).map((one) => [one.name, one]));
  } catch (error) {
    throw serverError(error, 'source_failed', 'list collections', subject);
  }
  const gone = collections.filter(({ name, uuid }) => !now.has(name) || now.get(name)!.uuid !== uuid);
  if (gone.length > 0) {
    const named = gone.slice(0, 5).map(({ name }) => name);
    throw new DguardError(
      'source_failed',
      `collections were dropped or replaced while they were dumped: ${named.join(', ')}`,
      {
        operation: 'dump',
        subject,
        hint: 'run the backup again; leave out what is made anew all the time: exclude_tables',
      },
    );
  }
  const altered = collections.filter((one) => catalogHash([one]) !== catalogHash([now.get(one.name)!]));
  for (const { name } of altered) {
    const message =
      'its indexes or options were altered while it was dumped; the backup has those from before';
    warn({ message, subject: `${subject}.${name}`, partial: false });
  }
}

async function refuseMissing(server: Server, name: string, subject: string): Promise<void> {
  const { databases } = (await server.client.db('admin').command({ listDatabases: 1, nameOnly: true })) as {
    databases: { name: string }[];
  };
  if (databases.some((database) => database.name === name)) return;
  throw new DguardError('source_failed', `there is no database ${name}, or the user may not see it`, {
    operation: 'dump',
    subject,
    hint: 'list the databases: show dbs in mongosh',
  });
}
