import type { Db } from 'mongodb';
import { DguardError } from '../../../errors.ts';
import { createFingerprint, type Fingerprint } from '../../jsonl/fingerprint.ts';
import type { TableFact } from '../../types.ts';
import { field } from '../bson/bson.ts';
import type { Part } from '../dump/content.ts';
import { type CollectionInfo, catalogHash, listCollections } from '../server/catalog.ts';
import { readCollection } from '../server/read.ts';

/** A part of a backup, and where it was loaded. */
export interface Loaded {
  readonly part: Part;
  readonly into: string;
  /** Of what was sent. */
  readonly print: Fingerprint;
}

export interface CompareRequest {
  readonly signal: AbortSignal;
  readonly readBack: boolean;
}

/**
 * Holds what was loaded against what was sent: the server counts; where `readBack` says so, it is read back and
 * every document hashed. Throws `corrupt` for documents that are missing, too many or other ones.
 */
export async function compareDocuments(
  db: Db,
  { part, into, print }: Loaded,
  subject: string,
  { signal, readBack }: CompareRequest,
): Promise<TableFact | undefined> {
  const { name, options } = part.info;
  if (part.entry === undefined) return undefined;
  const found = readBack ? createFingerprint() : undefined;
  if (found !== undefined) {
    const request = { signal, subject: `${subject}.${name}` };
    for await (const _ of readCollection(db, into, found, request));
  }
  const rows = found?.documents ?? (await countDocuments(db, into, signal));
  // What expires by the collection's own options is being removed already.
  if (field(options, 'expireAfterSeconds') !== undefined) return { name, rows };
  if (rows === print.documents && (found === undefined || found.sum() === print.sum())) return { name, rows };
  throw new DguardError(
    'corrupt',
    rows === print.documents
      ? `what came back is not what was dumped: documents of ${name} are other ones`
      : `what came back is not what was dumped: ${name} has ${rows} documents, ${print.documents} were loaded`,
    {
      operation: 'compare',
      subject,
      hint: 'the target was not touched; restore an older backup, or verify this one',
    },
  );
}

async function countDocuments(db: Db, name: string, signal: AbortSignal): Promise<number> {
  const [row] = await db
    .collection(name)
    .aggregate<{ n: number }>([{ $group: { _id: null, n: { $sum: 1 } } }], { signal })
    .toArray();
  return row?.n ?? 0;
}

/** The collections whose options, kind or indexes are not what the backup says, by their names in it. */
export async function compareCatalog(
  db: Db,
  loaded: readonly Pick<Loaded, 'part' | 'into'>[],
): Promise<string[]> {
  const there = new Map((await listCollections(db)).map((one) => [one.name, one]));
  const differing: string[] = [];
  for (const { part, into } of loaded) {
    if (part.undescribed) continue;
    const found = there.get(into);
    const same = found !== undefined && alike(part.info, { ...found, name: part.info.name });
    if (!same) differing.push(part.info.name);
  }
  return differing;
}

function alike(recorded: CollectionInfo, found: CollectionInfo): boolean {
  return catalogHash([recorded]) === catalogHash([found]);
}
