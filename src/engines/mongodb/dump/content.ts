import type { ContentEntry } from '../../../archive/entry.ts';
import { toBytes } from '../../../archive/paths.ts';
import { DguardError } from '../../../errors.ts';
import { memberText } from '../../member-text.ts';
import type { BackupContent } from '../../types.ts';
import { document } from '../bson/bson.ts';
import { type CollectionInfo, storedIn } from '../server/catalog.ts';
import { type DumpedFacts, type Metadata, parseMetadata } from '../server/metadata.ts';
import { fileStem, isSystemCollection, stemCollection } from '../server/names.ts';
import { sourceFacts } from './facts.ts';
import { BSON_END, JSONL_END, METADATA_END, SCHEMA_END, SCHEMA_FORMAT } from './members.ts';

export type StreamEntry = Extract<ContentEntry, { type: 'stream' }>;

/** A collection or view of a backup. */
export interface Part {
  readonly info: CollectionInfo;
  /** What was recorded of its documents; undefined of what mongodump wrote. */
  readonly dumped?: DumpedFacts;
  /** Its documents; undefined of a view. */
  readonly entry?: StreamEntry;
  readonly format: 'bson' | 'jsonl';
  /** Nothing says what its options and indexes were: `info` has none. */
  readonly undescribed?: true;
}

const MAX_METADATA_BYTES = 64 * 1024 * 1024;
const DATABASE_FOLDER = /^[^/]+\//;

/**
 * The collections of a backup: of dguard's own, or of anything in mongodump's layout. Throws `corrupt`
 * where there is nothing of the kind.
 */
export async function readParts(content: BackupContent): Promise<Part[]> {
  const documents = new Map<string, StreamEntry>();
  const descriptions: [string, StreamEntry][] = [];
  let format: Part['format'] | undefined;
  for await (const entry of content.entries()) {
    if (entry.type !== 'stream') continue;
    const path = toBytes(entry.path).toString('utf8');
    const file = path.replace(DATABASE_FOLDER, '');
    for (const [end, of] of [
      [METADATA_END, 'bson'],
      [SCHEMA_END, 'jsonl'],
    ] as const) {
      if (!file.endsWith(end)) continue;
      descriptions.push([file.slice(0, -end.length), entry]);
      format ??= of;
    }
    for (const [end, of] of [
      [BSON_END, 'bson'],
      [JSONL_END, 'jsonl'],
    ] as const) {
      if (!file.endsWith(end)) continue;
      documents.set(file.slice(0, -end.length), entry);
      format ??= of;
    }
  }
  if (format === undefined && content.facts.tables_count === 0) return [];
  if (format === undefined) {
    throw new DguardError('corrupt', 'the backup holds no collections', {
      operation: 'read backup',
    });
  }
  const { late } = sourceFacts(content.facts.engine);
  const parts: Part[] = [];
  for (const [stem, entry] of descriptions) {
    const read = await description(content, entry, stem);
    const { info } = read;
    // A collection may be called like what every object has: constructor.
    const dumped = read.dumped ?? (Object.hasOwn(late, info.name) ? late[info.name] : undefined);
    const stored = stemOf(info, stem, format);
    const found = stored === undefined ? undefined : documents.get(stored);
    if (stored !== undefined) documents.delete(stored);
    if (stored !== undefined && found === undefined) {
      throw new DguardError('corrupt', `the backup has no documents of ${info.name}`, {
        operation: 'read backup',
      });
    }
    parts.push({
      info,
      format,
      ...(dumped === undefined ? {} : { dumped }),
      ...(found === undefined ? {} : { entry: found }),
    });
  }
  // mongodump of old wrote no metadata where there was nothing to say.
  for (const [stem, entry] of documents) {
    const name = stemCollection(stem);
    if (name === undefined) throw broken('its name is cut, and no metadata has the whole of it', stem);
    if (isSystemCollection(name) || name.startsWith('$')) continue;
    parts.push({
      info: { name, type: 'collection', options: document([]), indexes: [] },
      entry,
      format,
      undescribed: true,
    });
  }
  return parts.sort((a, b) => (a.info.name < b.info.name ? -1 : 1));
}

/** The file stem of a collection's documents: that of its metadata, but for a time series. */
function stemOf(info: CollectionInfo, stem: string, format: Part['format']): string | undefined {
  const stored = storedIn(info);
  if (stored === undefined || format === 'jsonl') return stored === undefined ? undefined : stem;
  // A long name is cut with its own hash, so that no stem is made of another.
  return stored === info.name ? stem : fileStem(stored);
}

async function description(content: BackupContent, entry: StreamEntry, stem: string): Promise<Metadata> {
  const subject = toBytes(entry.path).toString('utf8');
  // Not by its size, which is that of a compressed file.
  const text = await memberText(content, entry, MAX_METADATA_BYTES);
  return parseMetadata(
    subject.endsWith(SCHEMA_END) ? metadataOfSchema(text, subject) : text,
    subject,
    stemCollection(stem),
  );
}

/** The metadata within a schema document. Its text is taken as it stands: values in it are Extended JSON. */
function metadataOfSchema(text: string, subject: string): string {
  let head: { format?: unknown; version?: unknown };
  try {
    head = JSON.parse(text) as typeof head;
  } catch {
    throw broken('it is not JSON', subject);
  }
  if (head.format !== SCHEMA_FORMAT) throw broken('it does not describe a MongoDB export', subject);
  if (typeof head.version !== 'number' || head.version > 1) {
    throw new DguardError('too_new', `it has version ${head.version}`, {
      operation: 'read schema document',
      subject,
      hint: 'use a newer dguard',
    });
  }
  const at = text.indexOf('"metadata":');
  if (at < 0) throw broken('it has no metadata', subject);
  return text.slice(at + '"metadata":'.length, text.lastIndexOf('}'));
}

/** Rows and hash that a schema document says of its lines. */
export async function exportFacts(
  content: BackupContent,
  path: string,
): Promise<{ rows?: number; sha256?: string }> {
  const entry = await content.entry(path);
  if (entry === undefined) return {};
  return JSON.parse(await memberText(content, entry)) as { rows?: number; sha256?: string };
}

function broken(why: string, subject: string): DguardError {
  return new DguardError('corrupt', why, { operation: 'read backup', subject });
}
