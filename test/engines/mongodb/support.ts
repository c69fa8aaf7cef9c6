import { type Db, MongoClient } from 'mongodb';
import { describe } from 'vitest';
import { openContent } from '../../../src/archive/reader.ts';
import type { Member } from '../../../src/engines/member.ts';
import { documentToJson } from '../../../src/engines/mongodb/bson/ejson-write.ts';
import type { MongodbOptions } from '../../../src/engines/mongodb/engine.ts';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import { rawDocuments } from '../../../src/engines/mongodb/server/raw.ts';
import type { BackupContent, DumpRequest, EngineSource } from '../../../src/engines/types.ts';
import { writeBackup } from '../../archive/support.ts';
import { externalMongodb, hasMongodb, type MongodbServer, startMongodb } from '../../services/mongodb.mjs';
import { describeWithServers } from '../../services/needs.ts';
import {
  dumpRequest as anyDumpRequest,
  backUpBy,
  loginOf,
  makeServerBench,
  type ServerBench,
} from '../support.ts';

export { contentOf } from '../support.ts';

/** A suite against a server started for it, or against the one that DGUARD_TEST_MONGODB_URL names. */
export function describeWithMongodb(name: string, suite: (server: () => MongodbServer) => void): void {
  const external = externalMongodb();
  if (external) return void describe(`${name} [${external.label}]`, () => suite(() => external));
  const needed = { name: 'FerretDB and DocumentDB', isThere: hasMongodb(), start: () => startMongodb() };
  describeWithServers(`${name} [FerretDB]`, [needed], ([server]) => suite(server!));
}

/** What the engine is handed against one server, and plain access to that server. */
export interface Bench extends ServerBench<MongodbOptions> {
  readonly server: MongodbServer;
  readonly client: MongoClient;
  db(name: string): Db;
  /** Databases of this bench that are there. */
  names(): Promise<string[]>;
}

/** @param prefix what the tests of a file call their databases: only such are ever dropped */
export async function makeBench(server: MongodbServer, prefix: string): Promise<Bench> {
  const bench = await makeServerBench<MongodbOptions>('mongodb', loginOf(server, undefined));
  const client = new MongoClient(`mongodb://${server.host}:${server.port}/?directConnection=true`, {
    auth: { username: server.user, password: server.password },
  });
  await client.connect();
  const names = async () =>
    (await client.db('admin').command({ listDatabases: 1, nameOnly: true }))['databases']
      .map(({ name }: { name: string }) => name)
      .filter((name: string) => name.startsWith(prefix)) as string[];
  for (const name of await names()) await client.db(name).dropDatabase();
  return {
    ...bench,
    server,
    client,
    db: (name) => client.db(name),
    names,
    async remove() {
      for (const name of await names()) await client.db(name).dropDatabase();
      await client.close();
      await bench.remove();
    },
  };
}

export function dumpRequest(more: Partial<DumpRequest> = {}): DumpRequest {
  return anyDumpRequest({ parallelJobs: 2, ...more });
}

/** Dumps a database into a real archive and opens it again. */
export async function backUp(
  source: EngineSource<MongodbOptions>,
  more: Partial<DumpRequest> = {},
): Promise<BackupContent> {
  return backUpBy(mongodbEngine, source, dumpRequest(more));
}

/** A backup of members that came from elsewhere. */
export async function contentOfMembers(members: readonly Member[]): Promise<BackupContent> {
  const backup = await writeBackup(asyncOf(members), { level: 1 });
  const content = await openContent(backup, async () => undefined);
  return { ...content, facts: { consistency: 'none' }, whole: true };
}

async function* asyncOf<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

export async function bytesOf(content: BackupContent, path: string): Promise<Buffer> {
  const entry = await content.entry(path);
  if (entry === undefined) throw new Error(`no ${path}`);
  const chunks: Buffer[] = [];
  for await (const chunk of content.read(entry)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** All that a database is: each collection's documents as hex, sorted, and its indexes. Not dguard's own. */
export async function picture(db: Db): Promise<Record<string, unknown>> {
  // A collection may be called __proto__.
  const found: Record<string, unknown> = Object.create(null);
  const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name).sort();
  for (const name of names) {
    if (name.startsWith('__dg')) continue;
    const documents = await rawDocuments(db, { find: name, batchSize: 1000 });
    const indexes = await rawDocuments(db, { listIndexes: name, cursor: {} });
    found[name] = {
      documents: documents.map((one) => one.toString('hex')).sort(),
      indexes: indexes.map((one) => documentToJson(one)).sort(),
    };
  }
  return found;
}

/** Collections of dguard's own. */
export async function ownNames(db: Db): Promise<string[]> {
  const names = (await db.listCollections({}, { nameOnly: true }).toArray()).map(({ name }) => name);
  return names.filter((name) => name.startsWith('__dg')).sort();
}
