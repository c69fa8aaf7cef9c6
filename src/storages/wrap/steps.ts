import type { Storage } from '../types.ts';
import type { StorageOperation } from './faults.ts';

/**
 * For tests: a storage that waits for `before` at every call, so that two commands on one storage can be
 * stopped and interleaved at each step of either. A put waits before its body is read, and once more
 * (`operation` `publish`) with the whole body read, right before the object comes to be.
 */
export function withSteps(
  storage: Storage,
  before: (operation: StorageOperation | 'publish', key: string) => Promise<void>,
): Storage {
  return {
    ...storage,
    async put(key, body, options) {
      await before('put', key);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(Uint8Array.from(chunk));
      await before('publish', key);
      return storage.put(
        key,
        (async function* () {
          yield* chunks;
        })(),
        options,
      );
    },
    async *get(key, options) {
      await before('get', key);
      yield* storage.get(key, options);
    },
    async stat(key, options) {
      await before('stat', key);
      return storage.stat(key, options);
    },
    async *list(prefix, options) {
      await before('list', prefix);
      yield* storage.list(prefix, options);
    },
    async delete(key, options) {
      await before('delete', key);
      return storage.delete(key, options);
    },
    async space(options) {
      await before('space', '');
      return storage.space(options);
    },
  };
}
