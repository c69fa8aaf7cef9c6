import type { Db } from 'mongodb';
import { DguardError } from '../../../errors.ts';
import { occupiedDatabase } from '../../occupied.ts';
import { targetSource as sourceOf } from '../../target-source.ts';
import type { BackupContent, EngineSource, RestoreRequest } from '../../types.ts';
import { warnOfUnmet } from '../../unmet.ts';
import { field } from '../bson/bson.ts';
import { type Part, readParts } from '../dump/content.ts';
import { type SourceFacts, sourceFacts } from '../dump/facts.ts';
import type { MongodbOptions } from '../options.ts';
import { collectionMatcher } from '../select.ts';
import { type CollectionInfo, listCollections, storedIn } from '../server/catalog.ts';
import { onlyDatabase, type Server } from '../server/connection.ts';
import { MARK_COLLECTION, maxNamespaceBytes } from '../server/names.ts';
import { readServer, type ServerInfo } from '../server/server-info.ts';
import { ownCollections } from './marks.ts';

export type Request = RestoreRequest<MongodbOptions>;

/** A restore that was found possible. */
export interface Work {
  readonly content: BackupContent;
  readonly request: Request;
  readonly server: Server;
  readonly info: ServerInfo;
  readonly target: string;
  readonly db: Db;
  readonly facts: SourceFacts;
  /** What of the backup is restored. */
  readonly parts: readonly Part[];
  /** What is in the target now. */
  readonly existing: readonly CollectionInfo[];
  /** What leaves the target: counterparts, and what the backup does not hold where all of it is replaced. */
  readonly leaving: readonly CollectionInfo[];
  /** The target is to be what the backup holds, no more and no less. */
  readonly replacesAll: boolean;
}

/** Where a part is created, and where its documents go. */
export interface Place {
  readonly part: Work['parts'][number];
  readonly create: string;
  readonly into: string;
}

/** The source of a target, with the signal, temporary folder and warnings of this call. */
export function targetSource(
  request: Parameters<typeof sourceOf<MongodbOptions>>[0],
): EngineSource<MongodbOptions> {
  return sourceOf(
    request,
    'a MongoDB backup',
    'take the files out and load them with mongorestore: dguard show ID',
  );
}

/** Looks at backup, server and target, and refuses what cannot or must not be done. Changes nothing. */
export async function prepare(content: BackupContent, request: Request, server: Server): Promise<Work> {
  const target = request.toDatabase ?? content.database ?? onlyDatabase(server);
  const facts = sourceFacts(content.facts.engine);
  const info = await readServer(server);
  let parts = choose(await readParts(content), request, facts.database, target);
  if (!request.scratch) {
    parts = withoutMarks(parts, target, request.warn);
    refuseLongNames(parts, target, info);
  }
  warnOfFit(facts, info, target, request.warn);
  const db = server.client.db(target);
  let existing: readonly CollectionInfo[] = [];
  if (!request.scratch) {
    const own = await ownCollections(db);
    existing = (await listCollections(db, false)).filter(({ name }) => !own.has(name));
  }
  if (existing.length > 0 && !request.overwrite) {
    throw occupiedDatabase(target, !content.whole || request.only.length > 0);
  }
  const replacesAll = request.only.length === 0 && content.whole;
  const held = new Set(parts.map((part) => part.info.name));
  const leaving = existing.filter(({ name }) => replacesAll || request.deleteExtra || held.has(name));
  const work = { content, request, server, info, target, db, facts, parts, existing, leaving, replacesAll };
  warnOfCopies(work);
  warnOfExpiry(work);
  return work;
}

function choose(
  parts: readonly Part[],
  { only, warn }: Pick<Request, 'only' | 'warn'>,
  database: string,
  target: string,
): readonly Part[] {
  if (only.length === 0) return parts;
  const named = (patterns: readonly string[]) => {
    const matches = collectionMatcher(patterns, database);
    return parts.filter(({ info }) => matches(info.name));
  };
  const chosen = named(only);
  if (chosen.length > 0) {
    warnOfUnmet(only, (pattern) => named([pattern]).length > 0, warn, 'collection');
    return chosen;
  }
  throw new DguardError('nothing_there', `the backup has no collection ${only.join(', ')}`, {
    operation: 'restore',
    subject: target,
    hint: `it has: ${parts
      .slice(0, 20)
      .map(({ info }) => info.name)
      .join(', ')}`,
  });
}

/** The collection of the marks is the journal of this very restore. */
function withoutMarks(parts: readonly Part[], target: string, warn: Request['warn']): readonly Part[] {
  const kept = parts.filter(({ info }) => info.name !== MARK_COLLECTION);
  const left = parts.find(({ info }) => info.name === MARK_COLLECTION);
  if (left !== undefined && left.dumped?.documents !== 0) {
    const message = `not restored: ${MARK_COLLECTION}, the name of dguard's journal in every database (dguard cat shows it)`;
    warn({ message, subject: target, partial: true });
  }
  return kept;
}

/** Throws `target_refused` where collections cannot be called so in a database of this name. */
function refuseLongNames(parts: readonly Part[], target: string, { product, numbers }: ServerInfo): void {
  const room = maxNamespaceBytes(product, numbers) - Buffer.byteLength(target) - 1;
  const long = parts.filter(({ info }) => Buffer.byteLength(storedIn(info) ?? info.name) > room);
  if (long.length === 0) return;
  const names = long.slice(0, 3).map(({ info: { name } }) => name);
  throw new DguardError(
    'target_refused',
    `names of ${long.length} collection(s) are too long for a database of this name (there is room for ${room} bytes): ${names.join(', ')}`,
    {
      operation: 'restore',
      subject: target,
      hint: 'restore to a database with a shorter name (--to-database), or only the other collections (--only)',
    },
  );
}

/**
 * Whether a server can give a collection another name: none does that with a time series, and FerretDB not
 * with one that has a dot in its name.
 */
export function isMovable(
  { name, type }: Pick<CollectionInfo, 'name' | 'type'>,
  { product }: ServerInfo,
): boolean {
  return type !== 'timeseries' && !(product === 'FerretDB' && name.includes('.'));
}

/** What cannot be renamed is copied, which takes its time. */
function warnOfCopies({
  leaving,
  parts,
  existing,
  info,
  target,
  request,
}: Omit<Work, 'content' | 'server'>): void {
  const coming = existing.length === 0 ? [] : parts.map((part) => part.info);
  const fixed = [...leaving, ...coming].filter((one) => one.type !== 'view' && !isMovable(one, info));
  if (fixed.length === 0 || request.scratch) return;
  const names = [...new Set(fixed.map(({ name }) => name))].slice(0, 5).join(', ');
  const message = `the server cannot rename ${names}: copied instead, and incomplete while that lasts; stop what writes to them`;
  request.warn({ message, subject: target, partial: false });
}

/** A restored document is as old as it was: an index that ends the life of the old ones takes it away again. */
function warnOfExpiry({ parts, target, request }: Pick<Work, 'parts' | 'target' | 'request'>): void {
  const expiring = parts.filter(({ info, entry }) => entry !== undefined && expires(info));
  if (expiring.length === 0 || request.scratch) return;
  const names = expiring.slice(0, 5).map(({ info }) => info.name);
  const more = expiring.length > names.length ? ` and ${expiring.length - names.length} more` : '';
  const message = `documents expire in ${names.join(', ')}${more} (TTL): those whose time is over by now are removed by the server soon after the restore`;
  request.warn({ message, subject: target, partial: false });
}

function expires({ options, indexes }: CollectionInfo): boolean {
  return [options, ...indexes].some((one) => field(one, 'expireAfterSeconds') !== undefined);
}

function warnOfFit(facts: SourceFacts, info: ServerInfo, target: string, warn: Request['warn']): void {
  const tell = (message: string) => warn({ message, subject: target, partial: false });
  if (facts.product !== '' && facts.product !== info.product) {
    tell(
      `the backup is of ${facts.product} ${facts.version}, the target is ${info.product} ${info.version}: options of collections may not carry over`,
    );
  } else if (Number.parseInt(facts.version, 10) > (info.numbers[0] ?? 0) && info.product === 'MongoDB') {
    tell(`the backup is of ${facts.version}, the target is older: ${info.version}`);
  }
}
