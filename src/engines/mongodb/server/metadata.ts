import { DguardError } from '../../../errors.ts';
import {
  arrayOf,
  document,
  documentsOf,
  element,
  field,
  subdocument,
  TYPE,
  textField,
  textValue,
} from '../bson/bson.ts';
import { jsonToDocument } from '../bson/ejson-read.ts';
import { documentToJson } from '../bson/ejson-write.ts';
import type { CollectionInfo } from './catalog.ts';

/** What was dumped of a collection, beside what mongodump says of it. */
export interface DumpedFacts {
  readonly documents: number;
  readonly bytes: number;
  /** See fingerprint.ts. */
  readonly sum: string;
}

/**
 * A collection's `metadata.json` as mongodump writes it: options, indexes, uuid, collectionName, type. What was
 * dumped stands beside it under `dguard`, which mongorestore passes over.
 */
export function metadataText(info: CollectionInfo, dumped: DumpedFacts | undefined): string {
  const parts = [
    element(TYPE.document, 'options', info.options),
    element(TYPE.array, 'indexes', arrayOf(info.indexes)),
    ...(info.uuid === undefined ? [] : [element(TYPE.string, 'uuid', textValue(info.uuid))]),
    element(TYPE.string, 'collectionName', textValue(info.name)),
    element(TYPE.string, 'type', textValue(info.type)),
  ];
  if (dumped !== undefined) {
    const own = [
      element(TYPE.int64, 'documents', int64(dumped.documents)),
      element(TYPE.int64, 'bytes', int64(dumped.bytes)),
      element(TYPE.string, 'sum', textValue(dumped.sum)),
    ];
    parts.push(element(TYPE.document, 'dguard', document(own)));
  }
  return `${documentToJson(document(parts))}\n`;
}

export interface Metadata {
  readonly info: CollectionInfo;
  /** Undefined of what mongodump itself wrote. */
  readonly dumped?: DumpedFacts;
}

/** Reads one back; of mongodump's too. Throws `corrupt`. */
export function parseMetadata(text: string, subject: string, nameOfFile: string | undefined): Metadata {
  const bytes = jsonToDocument(text);
  const name = textField(bytes, 'collectionName') ?? nameOfFile;
  if (name === undefined || name === '') throw broken('it does not name its collection', subject);
  const indexes = subdocument(bytes, 'indexes');
  const options = subdocument(bytes, 'options') ?? document([]);
  const uuid = textField(bytes, 'uuid');
  const said = textField(bytes, 'type');
  const type = said === 'view' || said === 'timeseries' ? said : typeOf(options);
  const dumped = dumpedFacts(bytes);
  return {
    info: {
      name,
      type,
      options,
      indexes: indexes === undefined ? [] : documentsOf(indexes),
      ...(uuid === undefined || uuid === '' ? {} : { uuid }),
    },
    ...(dumped === undefined ? {} : { dumped }),
  };
}

/** Older mongodumps do not say it. */
function typeOf(options: Buffer): CollectionInfo['type'] {
  if (field(options, 'viewOn') !== undefined) return 'view';
  return field(options, 'timeseries') !== undefined ? 'timeseries' : 'collection';
}

function dumpedFacts(metadata: Buffer): DumpedFacts | undefined {
  const own = subdocument(metadata, 'dguard');
  if (own === undefined) return undefined;
  const [documents, bytes, sum] = [
    int64Field(own, 'documents'),
    int64Field(own, 'bytes'),
    textField(own, 'sum'),
  ];
  if (documents === undefined || bytes === undefined || sum === undefined) return undefined;
  return { documents, bytes, sum };
}

function int64Field(bytes: Buffer, name: string): number | undefined {
  const found = field(bytes, name);
  return found?.type === TYPE.int64 ? Number(bytes.readBigInt64LE(found.start)) : undefined;
}

function int64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}

function broken(why: string, subject: string): DguardError {
  return new DguardError('corrupt', why, { operation: 'read metadata.json', subject });
}
