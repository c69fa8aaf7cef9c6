import type { Db } from 'mongodb';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import {
  booleanField,
  document,
  type Element,
  elements,
  field,
  subdocument,
  textField,
  without,
} from '../bson/bson.ts';
import { documentToJson } from '../bson/ejson-write.ts';
import type { CollectionInfo } from '../server/catalog.ts';
import { serverCode } from '../server/failures.ts';
import { commandValue, DUPLICATE_KEY, rawDocuments } from '../server/raw.ts';

export interface IndexesRequest {
  /** The documents were read without a snapshot: two may share what at no moment two shared. */
  readonly apart?: boolean;
  /** Told of an index that was built without `unique`, in words; undefined: that is an error. */
  readonly onRelaxed?: (message: string) => void;
  /** Ends it, and drops what they are built on: it must be of the caller's own making. */
  readonly signal?: AbortSignal;
}

/**
 * Builds the indexes of a collection on another that holds its documents, all in one pass. Throws `target_failed`; of a
 * unique one that documents stand against it names two of them.
 */
export async function buildIndexes(
  db: Db,
  into: string,
  info: CollectionInfo,
  request: IndexesRequest = {},
): Promise<void> {
  const specs = info.indexes.filter(
    (index) => textField(index, 'name') !== '_id_' && booleanField(index, 'clustered') !== true,
  );
  if (specs.length === 0) return;
  try {
    await create(db, into, specs, request.signal);
  } catch (error) {
    if (request.signal !== undefined) throwIfAborted(request.signal);
    await buildOneByOne(db, into, { info, specs, error }, request);
  }
}

async function create(db: Db, into: string, specs: readonly Buffer[], signal?: AbortSignal): Promise<void> {
  const indexes = await Promise.all(specs.map((index) => commandValue(without(index, ['ns']))));
  if (signal !== undefined) throwIfAborted(signal);
  let dropped: Promise<unknown> | undefined;
  // A server that was only left alone would build on, or begin to: it makes a collection where there is none any more.
  const abort = () => {
    dropped = db.command({ drop: into }).catch(() => {});
  };
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await db.command({ createIndexes: into, indexes });
  } finally {
    signal?.removeEventListener('abort', abort);
    await dropped;
  }
}

/** Some of them could not be built: finds out which, and why. */
async function buildOneByOne(
  db: Db,
  into: string,
  { info, specs, error }: { info: CollectionInfo; specs: readonly Buffer[]; error: unknown },
  { apart, onRelaxed, signal }: IndexesRequest,
): Promise<void> {
  const failed = (why: string, cause: unknown, hint?: string) =>
    new DguardError('target_failed', why, {
      operation: 'build indexes',
      subject: `${db.databaseName}.${info.name}`,
      ...(hint === undefined ? {} : { hint }),
      cause,
    });
  if (!specs.some(isUnique))
    throw failed(`the indexes of ${info.name} could not be built: ${errorText(error)}`, error);
  for (const spec of specs) {
    const name = textField(spec, 'name');
    try {
      await create(db, into, [spec], signal);
    } catch (cause) {
      if (signal !== undefined) throwIfAborted(signal);
      const shared = isUnique(spec) ? await findShared(db, into, spec) : undefined;
      // FerretDB says of them no more than that it could not.
      if (shared === undefined && !(isUnique(spec) && serverCode(cause) === DUPLICATE_KEY))
        throw failed(`the index ${name} of ${info.name} could not be built: ${errorText(cause)}`, cause);
      const why = `${shared ?? errorText(cause)}${apart ? ' (they were read without a snapshot, maybe at different moments)' : ''}`;
      if (onRelaxed === undefined) {
        throw failed(
          `the unique index ${name} of ${info.name} cannot be built: ${why}`,
          cause,
          'restore it with --allow-duplicates: all documents come, and the index is built without unique; or leave the collection out (--only)',
        );
      }
      await create(db, into, [without(spec, ['unique', 'ns'])], signal);
      onRelaxed(
        `the index ${name} of ${info.name} is NOT unique now: ${why}; mend the documents, then drop the index and make it unique again`,
      );
    }
  }
}

function isUnique(spec: Buffer): boolean {
  return booleanField(spec, 'unique') === true;
}

const MAX_SHOWN_CHARS = 200;

/** Two documents that an index would not have side by side, in words; undefined: none were found. */
async function findShared(db: Db, collection: string, spec: Buffer): Promise<string | undefined> {
  const key = subdocument(spec, 'key');
  if (key === undefined) return undefined;
  const paths = [...elements(key)].map(({ name }) => name);
  const { partialFilterExpression: filter, collation } = Object.fromEntries(
    await commandValue(spec),
  ) as Record<string, unknown>;
  const isSparse = booleanField(spec, 'sparse') === true;
  // An index has an entry for each element of an array, and one of null for what is not there.
  const arrays = new Set(
    paths.flatMap((path) => path.split('.').map((_, at, parts) => parts.slice(0, at + 1).join('.'))),
  );
  const pipeline = [
    ...(filter === undefined ? [] : [{ $match: filter }]),
    ...(isSparse ? [{ $match: { $or: paths.map((path) => ({ [path]: { $exists: true } })) } }] : []),
    ...[...arrays].map((path) => ({ $unwind: { path: `$${path}`, preserveNullAndEmptyArrays: true } })),
    {
      $group: {
        _id: Object.fromEntries(paths.map((path, at) => [`k${at}`, { $ifNull: [`$${path}`, null] }])),
        first: { $min: '$_id' },
        last: { $max: '$_id' },
      },
    },
    { $match: { $expr: { $ne: ['$first', '$last'] } } },
    { $limit: 1 },
  ];
  try {
    const [found] = await rawDocuments(db, {
      aggregate: collection,
      pipeline,
      cursor: {},
      allowDiskUse: true,
      ...(collation === undefined ? {} : { collation }),
    });
    const values = found && subdocument(found, '_id');
    if (values === undefined) return undefined;
    const same = [...elements(values)].map((value, at) => `${paths[at]} = ${valueText(values, value)}`);
    const [first, last] = ['first', 'last'].map((name) => valueText(found!, field(found!, name)!));
    return `the documents with the _ids ${first} and ${last} have the same ${same.join(', ')}`;
  } catch {
    // What the server said of the index is all there is to say.
    return undefined;
  }
}

/** The value of a field as Extended JSON. */
function valueText(bytes: Buffer, { name, at, end }: Element): string {
  const json = documentToJson(document([bytes.subarray(at, end)]));
  const value = json.slice(`{${JSON.stringify(name)}:`.length, -1);
  return value.length > MAX_SHOWN_CHARS ? `${value.slice(0, MAX_SHOWN_CHARS)}…` : value;
}
