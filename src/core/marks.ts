import { hash, randomBytes } from 'node:crypto';
import { DguardError } from '../errors.ts';
import { canonicalJson } from '../manifest/canonical.ts';
import { stamp } from '../plan/naming.ts';
import type { Runtime } from '../runtime.ts';
import { readObject } from '../storages/read.ts';
import type { Storage, StoredObject } from '../storages/types.ts';
import { putBytes } from '../storages/write.ts';

/** What is judged after the fact: small objects beside a backup, each put once and never changed. */
export type MarkKind = 'verified' | 'accepted' | 'pinned' | 'deleting';

const MAX_MARK_BYTES = 64 * 1024;

/**
 * Puts a mark beside a backup. Its name sorts by the time it was made. `manifestBytes` binds it to the very
 * manifest that was judged; undefined for a folder without one.
 */
export async function putMark(
  storage: Storage,
  folder: string,
  kind: MarkKind,
  fields: { id: string; manifestBytes: Uint8Array | undefined } & Readonly<Record<string, unknown>>,
  runtime: Runtime,
): Promise<StoredObject> {
  const now = runtime.now();
  const { manifestBytes, ...rest } = fields;
  const text = canonicalJson({
    format: 1,
    ...rest,
    made_at: now.toISOString(),
    host: runtime.host.name,
    ...(manifestBytes ? { manifest_sha256: hash('sha256', manifestBytes, 'hex') } : {}),
  });
  const millis = String(now.getMilliseconds()).padStart(3, '0');
  const suffix = randomBytes(4).toString('hex');
  const key = `${folder}/${kind}-${stamp(now)}-${millis}-${suffix}.json`;
  try {
    return await putBytes(storage, key, Buffer.from(text));
  } catch (error) {
    // A full disk must let go of something: this mark says all it has to say by its name.
    if (kind !== 'deleting' || (error as Partial<DguardError>).code !== 'storage_full') throw error;
    return putBytes(storage, key, Buffer.alloc(0));
  }
}

/** The keys of a folder's marks of one kind, newest first. */
export function markKeys(objects: readonly StoredObject[], kind: MarkKind): string[] {
  const keys: string[] = [];
  for (const { key } of objects) {
    if (key.startsWith(`${kind}-`, key.lastIndexOf('/') + 1) && key.endsWith('.json')) keys.push(key);
  }
  return keys.sort().reverse();
}

/**
 * The marks of a kind that are about this very manifest, and that `read` understands, newest first. One that
 * cannot be read, or is about another manifest, says nothing.
 */
export async function* readMarks<T>(
  storage: Storage,
  objects: readonly StoredObject[],
  kind: MarkKind,
  manifestBytes: Uint8Array,
  read: (value: Readonly<Record<string, unknown>>) => T | undefined,
  signal?: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const keys = markKeys(objects, kind);
  if (keys.length === 0) return;
  const sha256 = hash('sha256', manifestBytes, 'hex');
  for (const key of keys) {
    let found: T | undefined;
    try {
      const bytes = await readObject(storage, key, MAX_MARK_BYTES, signal);
      const value = JSON.parse(bytes.toString('utf8')) as Record<string, unknown> | null;
      found = value?.['manifest_sha256'] === sha256 ? read(value) : undefined;
    } catch (error) {
      // What storage cannot give now may be a pin, or a failed proof: only bytes that are wrong say nothing.
      const wrong = error instanceof DguardError && ['corrupt', 'storage_not_found'].includes(error.code);
      if (!wrong && !(error instanceof SyntaxError)) throw error;
    }
    if (found !== undefined) yield found;
  }
}

/** The newest of `readMarks`. */
export async function newestMark<T>(...args: Parameters<typeof readMarks<T>>): Promise<T | undefined> {
  for await (const mark of readMarks<T>(...args)) return mark;
  return undefined;
}
