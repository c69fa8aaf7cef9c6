import { createRequire } from 'node:module';
import { DguardError, errorText } from './errors.ts';

const require = createRequire(import.meta.url);

export interface ZstdBindings {
  compress(data: Uint8Array, level: number): Promise<Buffer>;
  decompress(data: Uint8Array): Promise<Buffer>;
}
/** zstd-napi: a context that is used again and a length that is known beforehand; blocks the thread it runs in. */
export interface ZstdContexts {
  readonly CCtx: new () => ZstdCompressor;
  readonly DCtx: new () => { decompress(output: Uint8Array, frame: Uint8Array): number };
  readonly CParameter: { readonly compressionLevel: number };
  compressBound(length: number): number;
}
export interface ZstdCompressor {
  setParameter(parameter: number, value: number): void;
  /** One frame into `output`; its length. */
  compress2(output: Uint8Array, data: Uint8Array): number;
}
export interface Lz4Bindings {
  compressFrame(data: Uint8Array, options?: { contentChecksum?: boolean }): Promise<Buffer>;
  decompressFrame(data: Uint8Array): Promise<Buffer>;
}

/** @mongodb-js/zstd's bindings: its `index.js` drops the level, so that every level would be 3. */
export function loadZstd(): ZstdBindings {
  return load('@mongodb-js/zstd/bindings.js') as ZstdBindings;
}

let contexts: ZstdContexts | undefined | null;

/** zstd-napi, where this machine has it: an optional dependency. */
export function loadZstdContexts(): ZstdContexts | undefined {
  if (contexts === undefined) {
    try {
      contexts = require('zstd-napi/binding') as ZstdContexts;
    } catch {
      contexts = null;
    }
  }
  return contexts ?? undefined;
}

export function loadLz4(): Lz4Bindings {
  return load('lz4-napi') as Lz4Bindings;
}

function load(name: string): unknown {
  try {
    return require(name);
  } catch (cause) {
    throw new DguardError('tool_missing', `the native module ${name} cannot be loaded`, {
      operation: 'load native module',
      subject: name,
      hint: 'install dguard again on this machine, its optional packages too, or choose another codec',
      cause,
    });
  }
}

/**
 * An add-on that npm was not let build, or that was built for another Node or another machine: the text of either
 * names a dozen paths and no way out. Undefined for every other error.
 */
export function addonMissing(name: string, thrown: unknown): DguardError | undefined {
  const text = errorText(thrown);
  const isBuilt = (thrown as { code?: unknown } | null)?.code === 'ERR_DLOPEN_FAILED';
  if (!isBuilt && !text.startsWith('Could not locate the bindings file')) return undefined;
  const why = isBuilt ? text.split('\n', 2).join(' ') : 'it was not built when dguard was installed';
  return new DguardError('tool_missing', `the native module ${name} cannot be loaded: ${why}`, {
    operation: 'load native module',
    subject: name,
    hint: `build it for this Node, where dguard is installed: npm rebuild ${name}`,
    cause: thrown,
  });
}
