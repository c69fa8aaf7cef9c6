import { createHash } from 'node:crypto';
import type { Db } from 'mongodb';
import {
  booleanField,
  document,
  element,
  elements,
  field,
  subdocument,
  TYPE,
  textField,
  textValue,
  without,
} from '../bson/bson.ts';
import { documentToJson } from '../bson/ejson-write.ts';
import { CODE, serverCode } from './failures.ts';
import { BUCKETS_PREFIX, isSystemCollection } from './names.ts';
import { rawDocuments } from './raw.ts';

/** A collection or view, with all that is needed to make it again. Documents are BSON as the server wrote it. */
export interface CollectionInfo {
  readonly name: string;
  readonly type: 'collection' | 'view' | 'timeseries';
  readonly options: Buffer;
  readonly indexes: readonly Buffer[];
  /** 32 hex digits; of a collection that is made anew under its old name it is another one. */
  readonly uuid?: string;
}

/** Where the documents of a collection lie: those of a time series in buckets of the server's own. */
export function storedIn({ name, type }: Pick<CollectionInfo, 'name' | 'type'>): string | undefined {
  if (type === 'view') return undefined;
  return type === 'timeseries' ? `${BUCKETS_PREFIX}${name}` : name;
}

/** A collection under another name; of a view what it is on too. Names that are not among them stay. */
export function renamedInfo(info: CollectionInfo, names: ReadonlyMap<string, string>): CollectionInfo {
  const options = [...elements(info.options)].map(({ name, at, end }) => {
    const on = name === 'viewOn' ? names.get(textField(info.options, name) ?? '') : undefined;
    return on === undefined ? info.options.subarray(at, end) : element(TYPE.string, name, textValue(on));
  });
  return { ...info, name: names.get(info.name) ?? info.name, options: document(options) };
}

/** Everything in a database that somebody made, by name. Temporary collections of running operations are none. */
export function listCollections(db: Db, withIndexes = true): Promise<CollectionInfo[]> {
  return findCollections(db, {}, withIndexes);
}

/** One of them, by its name; undefined where it is not there. */
export async function describeCollection(db: Db, name: string): Promise<CollectionInfo | undefined> {
  return (await findCollections(db, { filter: { name } }, true))[0];
}

async function findCollections(db: Db, which: object, withIndexes: boolean): Promise<CollectionInfo[]> {
  const found: CollectionInfo[] = [];
  for (const raw of await rawDocuments(db, { listCollections: 1, ...which, cursor: {} })) {
    const name = textField(raw, 'name');
    if (name === undefined || isSystemCollection(name)) continue;
    const type = textField(raw, 'type') ?? 'collection';
    if (type !== 'collection' && type !== 'view' && type !== 'timeseries') continue;
    const options = subdocument(raw, 'options') ?? document([]);
    if (booleanField(options, 'temp') === true) continue;
    const uuid = uuidOf(raw);
    const indexes = withIndexes && type !== 'view' ? await listIndexes(db, name) : [];
    if (indexes === undefined) continue;
    found.push({ name, type, options, indexes, ...(uuid === undefined ? {} : { uuid }) });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Undefined where the collection is gone. */
async function listIndexes(db: Db, name: string): Promise<Buffer[] | undefined> {
  try {
    const indexes = await rawDocuments(db, { listIndexes: name, cursor: {} });
    // Servers before 4.4 name the collection in each.
    return indexes.map((index) => without(index, ['ns']));
  } catch (error) {
    if (serverCode(error) === CODE.namespaceNotFound) return undefined;
    throw error;
  }
}

function uuidOf(raw: Buffer): string | undefined {
  const info = subdocument(raw, 'info');
  const uuid = info && field(info, 'uuid');
  if (info === undefined || uuid?.type !== TYPE.binary) return undefined;
  return info.toString('hex', uuid.start + 5, uuid.end);
}

/** Whether anything is in a database. */
export async function isEmptyDatabase(db: Db): Promise<boolean> {
  return (await listCollections(db, false)).length === 0;
}

/** Of an index: what says nothing of it, or what a server (FerretDB) adds by itself when it is made anew. */
const NOT_COMPARED = ['ns', 'v', 'storageEngine'];

/** A hash of what collections are, without their documents: options, kinds, indexes. */
export function catalogHash(collections: readonly CollectionInfo[]): string {
  const hash = createHash('sha256');
  for (const { name, type, options, indexes } of [...collections].sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )) {
    const definitions = indexes.map((index) => documentToJson(without(index, NOT_COMPARED))).sort();
    hash.update(`${JSON.stringify([name, type, documentToJson(options), definitions])}\n`);
  }
  return hash.digest('hex');
}

/** What the server knows of the size of a collection's documents. */
export interface CollectionSize {
  readonly documents: number;
  readonly bytes: number;
  readonly averageBytes?: number;
}

/** Undefined where it does not say. */
export async function collectionSize(db: Db, name: string): Promise<CollectionSize | undefined> {
  try {
    const stats = await db.command({ collStats: name });
    const documents = Number(stats['count'] ?? 0);
    const bytes = Number(stats['size'] ?? 0);
    const average = Number(stats['avgObjSize'] ?? (documents > 0 ? bytes / documents : 0));
    return { documents, bytes, ...(average > 0 ? { averageBytes: average } : {}) };
  } catch {
    return undefined;
  }
}

/** Of all of a database, on the server's disk; undefined where it does not say. */
export async function databaseSize(db: Db): Promise<number | undefined> {
  try {
    const stats = await db.command({ dbStats: 1 });
    const bytes = Number(stats['dataSize'] ?? stats['storageSize']);
    return Number.isFinite(bytes) ? bytes : undefined;
  } catch {
    return undefined;
  }
}
