import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { constants, createGunzip, gunzipSync } from 'node:zlib';
import { fromText } from '../../../archive/paths.ts';
import { DguardError, errorText, throwIfAborted } from '../../../errors.ts';
import { type ContentStream, streamsContent } from '../../streams-content.ts';
import type { OpenDumpRequest, ToolDump } from '../../types.ts';
import {
  BESIDE_NAME,
  BUCKETS_PREFIX,
  isSystemCollection,
  MARK_COLLECTION,
  SYSTEM_DATABASES,
  stemCollection,
} from '../server/names.ts';
import { BSON_END, METADATA_END } from './members.ts';

const GZIP_END = '.gz';
/** Beside the databases of a dump: written by `mongodump --oplog`. */
const OPLOG_FILES = ['oplog.bson', `oplog.bson${GZIP_END}`];
const CHUNK_BYTES = 1024 * 1024;
/** mongo-tools, common/archive/archive.go: MagicNumber, little endian. */
const ARCHIVE_MAGIC = Buffer.from('6de29981', 'hex');
const GZIP_MAGIC = Buffer.from('1f8b', 'hex');

/**
 * A folder that mongodump wrote, plain or with --gzip: that of a database, or one that holds a single database's.
 * Nothing in it says what it should hold.
 */
export async function openDumpFolder(path: string, { signal, warn }: OpenDumpRequest): Promise<ToolDump> {
  const folder = await databaseFolder(resolve(path), path, warn);
  const database = basename(folder);
  const streams = new Map<string, ContentStream>();
  const left: string[] = [];
  const own: string[] = [];
  const names = await dumpFiles(folder);
  const hasMarks = names.some((name) => withoutGzip(name) === `${MARK_COLLECTION}${BSON_END}`);
  for (const name of names) {
    const plain = withoutGzip(name);
    const end = plain.endsWith(BSON_END) ? BSON_END : METADATA_END;
    const collection = stemCollection(plain.slice(0, -end.length));
    if (hasMarks && collection !== undefined && isOwn(collection)) {
      if (end === BSON_END) own.push(collection);
      continue;
    }
    if (end === BSON_END && collection !== undefined && !isRestored(collection)) left.push(collection);
    if (streams.has(plain)) {
      throw new DguardError('corrupt', `${plain} is there twice, compressed and not`, {
        operation: 'read dump',
        subject: folder,
        hint: 'two dumps were written into one folder: remove the files of the older one',
      });
    }
    const file = join(folder, name);
    const found = await stat(file);
    if (!found.isFile()) {
      // Of a pipe nobody knows whether anything will ever come.
      throw new DguardError('unsupported', 'it is no file, and only files of mongodump are read', {
        operation: 'read dump',
        subject: file,
        hint: 'take it away, or copy the dump again from where it was made',
      });
    }
    streams.set(plain, {
      path: fromText(`${database}/${plain}`),
      size: found.size,
      media: 'application/octet-stream',
      format: plain.endsWith(BSON_END) ? 'bson' : 'mongodump-metadata',
      read: () => readBytes(file, signal),
    });
  }
  if (left.length > 0) {
    const message = `not restored, the server's own: ${left.join(', ')}`;
    warn({ message, subject: folder, partial: false });
  }
  if (own.length > 0) {
    const message = `not restored, what dguard kept beside the collections for undo: ${own.slice(0, 10).join(', ')}`;
    warn({ message, subject: folder, partial: false });
  }
  const facts = { consistency: 'none', engine: { database } } as const;
  return {
    content: streamsContent({ facts, whole: false }, [...streams.values()]),
    tool: 'mongodump',
    database,
    path: folder,
  };
}

/** What a restore of dguard kept, or left, in the database that was dumped. */
function isOwn(collection: string): boolean {
  return collection === MARK_COLLECTION || BESIDE_NAME.test(collection);
}

/** As `readParts` has it; buckets are the documents of a time series. */
function isRestored(collection: string): boolean {
  if (collection.startsWith(BUCKETS_PREFIX)) return true;
  return !isSystemCollection(collection) && !collection.startsWith('$');
}

function withoutGzip(name: string): string {
  return name.endsWith(GZIP_END) ? name.slice(0, -GZIP_END.length) : name;
}

/** The folder of one database. Errors: as `openDumpFolder`. */
async function databaseFolder(folder: string, given: string, warn: OpenDumpRequest['warn']): Promise<string> {
  const found = await stat(folder).catch(() => undefined);
  const fail = (
    code: 'unknown_name' | 'unsupported' | 'nothing_there' | 'usage',
    why: string,
    hint: string,
  ) => new DguardError(code, why, { operation: 'read dump', subject: given, hint });
  if (found === undefined) {
    throw fail(
      'unknown_name',
      `there is no folder ${folder}`,
      'name the folder that mongodump wrote: ./dump, ./dump/DATABASE',
    );
  }
  if (!found.isDirectory()) {
    if (found.isFile() && (await isArchive(folder))) {
      throw fail(
        'unsupported',
        'it is an archive of mongodump (--archive), and only its folders are read',
        'load it with mongorestore --archive=FILE; or dump again with mongodump --out DIR',
      );
    }
    throw fail(
      'unsupported',
      'it is no folder, and only folders of mongodump are read',
      'name the folder that holds the *.bson files: ./dump, ./dump/DATABASE',
    );
  }
  if ((await dumpFiles(folder)).length > 0) return folder;
  const names = await readdir(folder, { withFileTypes: true });
  const databases: string[] = [];
  for (const entry of names) {
    if (entry.isDirectory() && (await dumpFiles(join(folder, entry.name))).length > 0)
      databases.push(entry.name);
  }
  const own = databases.filter((name) => !SYSTEM_DATABASES.includes(name));
  if (own.length > 1) {
    throw fail(
      'usage',
      `it holds ${own.length} databases: ${own.sort().slice(0, 10).join(', ')}`,
      `restore them one after the other: --from ${join(given, own[0]!)} --to-database NAME`,
    );
  }
  if (own[0] === undefined) {
    throw fail(
      'nothing_there',
      'it holds nothing that mongodump wrote: no DATABASE/COLLECTION.bson, no *.metadata.json',
      'of backups of dguard name one: dguard restore JOB --from ./FOLDER',
    );
  }
  if (names.some(({ name }) => OPLOG_FILES.includes(name))) {
    const message =
      'oplog.bson is not replayed: without it the collections are of different moments (mongorestore --oplogReplay replays it)';
    warn({ message, subject: folder, partial: true });
  }
  return join(folder, own[0]);
}

/** The files of a database, by name; none where the folder is no database's. */
async function dumpFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => {
    const plain = withoutGzip(name);
    return (plain.endsWith(BSON_END) || plain.endsWith(METADATA_END)) && !OPLOG_FILES.includes(name);
  });
  return names.sort();
}

/** Whether a file is what `mongodump --archive` writes, with --gzip or without. */
async function isArchive(path: string): Promise<boolean> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    const head = buffer.subarray(0, bytesRead);
    const plain = head.subarray(0, 2).equals(GZIP_MAGIC)
      ? gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH })
      : head;
    return plain.subarray(0, ARCHIVE_MAGIC.length).equals(ARCHIVE_MAGIC);
  } catch {
    return false;
  } finally {
    await file.close();
  }
}

/** Throws `corrupt` for a compressed file that is cut or damaged, `storage_failed` for what cannot be read. */
async function* readBytes(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path, { highWaterMark: CHUNK_BYTES });
  const unpacked = path.endsWith(GZIP_END) ? createGunzip({ chunkSize: CHUNK_BYTES }) : undefined;
  if (unpacked !== undefined) file.on('error', (error) => unpacked.destroy(error)).pipe(unpacked);
  try {
    for await (const chunk of unpacked ?? file) {
      throwIfAborted(signal);
      yield chunk as Buffer;
    }
  } catch (error) {
    throwIfAborted(signal);
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof DguardError || code === undefined) throw error;
    const damaged = code.startsWith('Z_');
    throw new DguardError(
      damaged ? 'corrupt' : 'storage_failed',
      damaged ? `it cannot be unpacked: ${errorText(error)}` : errorText(error),
      {
        operation: 'read dump',
        subject: path,
        hint: damaged
          ? 'copy it again from where it was made, or leave it out: --only COLLECTION'
          : 'make it readable for this user',
        cause: error,
      },
    );
  } finally {
    file.destroy();
    unpacked?.destroy();
  }
}
