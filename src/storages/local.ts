import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, open, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { DguardError, errnoOf, throwIfAborted } from '../errors.ts';
import { freeBytesOf } from '../folders.ts';
import { bodyChunks } from './body.ts';
import { assertKey, assertPrefix, TEMP_PREFIX } from './key.ts';
import { storedBudget } from './local/budget.ts';
import { attempt, fileError, unlessMissing } from './local/errors.ts';
import { isRealPath, makeFolder, removeEmptyFolders, syncFolder } from './local/folders.ts';
import { sweepTemporary } from './local/leftovers.ts';
import { linksText } from './local/links.ts';
import { realAncestor } from './local/mount.ts';
import { openOrRead } from './local/open.ts';
import { exists, publishDurably, removeTemp, taken } from './local/publish.ts';
import { localRoot } from './local/root.ts';
import { walkBatches } from './local/walk-ahead.ts';
import { writeFile } from './local/write.ts';
import { byteRange } from './range.ts';
import type {
  CallOptions,
  GetOptions,
  Leftovers,
  ListOptions,
  PutOptions,
  Storage,
  StorageContext,
  StoredObject,
} from './types.ts';

export interface LocalOptions {
  /** Absolute; may itself be a link to a folder. */
  path: string;
  /** Limit of what is stored, in GiB. Objects of up to 1 MiB (marks, leases, manifests) may pass it. */
  max_size_gb?: number | undefined;
  /** True: the path itself must be a mount point. A string names the folder above it that must be one. */
  must_be_mounted?: boolean | string | undefined;
}

const GIB = 1024 ** 3;
const FILE_MODE = 0o600;
const READ_BYTES = 4 * 1024 * 1024;
const FOLDER_RACES = 10;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/**
 * Objects as files under one folder. A put writes a temporary file beside its place, syncs it, links it
 * under its name and syncs the folder. No link inside the folder is ever followed, no file outside touched.
 */
export function localStorage(options: LocalOptions, context: StorageContext): Storage {
  const path = resolve(options.path);
  const limitBytes = options.max_size_gb === undefined ? undefined : Math.floor(options.max_size_gb * GIB);
  const budget = limitBytes === undefined ? undefined : storedBudget(limitBytes, () => storedBytes(), path);
  const place = localRoot(path, options.must_be_mounted, context.name);
  const settledFolders = new Set<string>();
  let hasSaidLinks = false;

  async function put(
    key: string,
    body: AsyncIterable<Uint8Array>,
    putOptions: PutOptions = {},
  ): Promise<StoredObject> {
    assertKey(key);
    if (putOptions.signal) throwIfAborted(putOptions.signal);
    const root = await place.findOrMake();
    await budget?.load();
    const { temp, final, handle } = await attempt('put', key, () => openTemp(root, key));
    let budgeted = 0;
    try {
      const beforeWrite = (fileBytes: number) => {
        budget?.take(fileBytes - budgeted, fileBytes);
        budgeted = fileBytes;
      };
      const file = { handle, subject: key, beforeWrite };
      const facts = await writeFile(file, bodyChunks(body, key, putOptions));
      if (putOptions.signal) throwIfAborted(putOptions.signal);
      await attempt('put', key, () => publishDurably(temp, final));
      return objectOf(key, facts);
    } catch (error) {
      budget?.giveBack(budgeted);
      await removeTemp(temp);
      await removeEmptyFolders(root, dirname(final), settledFolders);
      throw error;
    }
  }

  async function* get(key: string, getOptions: GetOptions = {}): AsyncGenerator<Uint8Array> {
    assertKey(key);
    const { signal } = getOptions;
    if (signal) throwIfAborted(signal);
    const root = await place.findToRead();
    const file = await attempt('get', key, async () => root && openOrRead(join(root, key), getOptions));
    if (!file) throw notFound(key);
    if (Buffer.isBuffer(file)) {
      if (file.length > 0) yield file;
      return;
    }
    try {
      const { start, end } = byteRange(getOptions, file.sizeBytes);
      for (let position = start; position < end; ) {
        if (signal) throwIfAborted(signal);
        const buffer =
          getOptions.room?.subarray(position - start, end - start) ??
          Buffer.allocUnsafe(Math.min(READ_BYTES, end - position));
        const bytesRead = await attempt('read', key, () => file.read(buffer, position));
        if (bytesRead === 0) return; // cut short meanwhile: the caller counts
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  async function statObject(key: string, callOptions: CallOptions = {}): Promise<StoredObject | undefined> {
    assertKey(key);
    if (callOptions.signal) throwIfAborted(callOptions.signal);
    const found = await attempt('stat', key, () => findObject(key));
    return found && objectOf(key, found.facts);
  }

  async function* list(prefix: string, listOptions: ListOptions = {}): AsyncGenerator<StoredObject> {
    assertPrefix(prefix);
    const { signal } = listOptions;
    if (signal) throwIfAborted(signal);
    const root = await place.findToRead();
    if (root === undefined) return; // nothing was ever put here
    try {
      const before = await stat(root);
      const links = new Set<string>();
      if (await isRealPath(join(root, prefix.slice(0, -1)))) {
        for await (const batch of walkBatches({
          root,
          prefix,
          ...listOptions,
          onLink: (key) => links.add(key),
        })) {
          for (const object of batch) {
            if (signal) throwIfAborted(signal);
            yield object;
          }
        }
      }
      // Folders that vanish are left out, but a list cut short by a mount that went away must not pass.
      const after = await stat(root);
      if (before.dev !== after.dev || before.ino !== after.ino)
        throw place.gone('it changed while it was listed');
      const text = hasSaidLinks || links.size === 0 ? undefined : await linksText(root, links);
      if (text !== undefined) context.warn(text);
      hasSaidLinks ||= text !== undefined;
    } catch (error) {
      throw errnoOf(error) === 'ENOENT' ? place.gone('it vanished', error) : fileError(error, 'list', path);
    }
  }

  async function remove(key: string, callOptions: CallOptions = {}): Promise<void> {
    assertKey(key);
    if (callOptions.signal) throwIfAborted(callOptions.signal);
    await attempt('delete', key, async () => {
      const found = await findObject(key);
      if (found === undefined) return;
      const folder = dirname(found.file);
      await unlink(found.file).catch(unlessMissing);
      await syncFolder(folder).catch(unlessMissing); // another delete may have removed the empty folder
      budget?.giveBack(found.facts.size);
      await removeEmptyFolders(found.root, folder, settledFolders);
    });
  }

  async function sweepLeftovers(olderThan: Date, callOptions: CallOptions = {}): Promise<Leftovers> {
    const root = await place.findToRead();
    if (root === undefined) return { count: 0, bytes: 0 };
    return attempt('sweep', path, () => sweepTemporary(root, olderThan, callOptions.signal));
  }

  async function space() {
    const root = (await place.findToRead()) ?? (await realAncestor(path));
    const freeBytes = await attempt('look for free space in', path, () => freeBytesOf(root));
    if (limitBytes === undefined) return freeBytes === undefined ? {} : { freeBytes };
    const left = Math.max(0, limitBytes - (await storedBytes()));
    return { freeBytes: Math.min(freeBytes ?? left, left), limitBytes };
  }

  async function findObject(key: string): Promise<{ root: string; file: string; facts: Stats } | undefined> {
    const root = await place.findToRead();
    if (root === undefined) return undefined;
    const file = join(root, key);
    if (!(await isRealPath(dirname(file)))) return undefined;
    const facts = await lstat(file).catch(unlessMissing);
    return facts?.isFile() ? { root, file, facts } : undefined;
  }

  async function openTemp(root: string, key: string) {
    const parts = key.split('/').slice(0, -1);
    for (let races = 0; ; races++) {
      try {
        const folder = await makeFolder(root, parts, settledFolders);
        const final = join(root, key);
        if (await exists(final)) throw taken(final); // before a byte of the body is read
        const temp = join(folder, TEMP_PREFIX + randomBytes(8).toString('hex'));
        const handle = await open(temp, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, FILE_MODE);
        return { temp, final, handle };
      } catch (error) {
        // A delete may remove the folder, empty as it is, before the file is in it.
        if (errnoOf(error) !== 'ENOENT' || races === FOLDER_RACES) throw error;
        settledFolders.clear();
      }
    }
  }

  function notFound(key: string): DguardError {
    return new DguardError('storage_not_found', `${path} holds no object ${key}`, {
      operation: 'get',
      subject: key,
    });
  }

  async function storedBytes(): Promise<number> {
    let total = 0;
    for await (const object of list('')) total += object.sizeBytes;
    return total;
  }

  return {
    type: 'local',
    label: path,
    capabilities: { writable: true, remote: false },
    put,
    get,
    stat: statObject,
    list,
    delete: remove,
    space,
    sweepLeftovers,
    close: place.removeUnused,
  };
}

function objectOf(key: string, facts: Stats): StoredObject {
  return { key, sizeBytes: facts.size, modifiedAt: new Date(facts.mtimeMs) };
}
