import { createHash } from 'node:crypto';
import type { DguardError } from '../errors.ts';
import type { Fanout, WrittenObject } from './fanout.ts';
import { partName } from './format.ts';

/** What an artifact became at a destination. */
export interface StoredArtifact {
  readonly size: number;
  readonly sha256: string;
  /** Undefined where it is one object. */
  readonly parts?: readonly WrittenObject[];
}

/**
 * An artifact's bytes as one object, or as parts of `partBytes` each (the last is shorter). With a part
 * size even a small artifact has the name of a part, because its length is not known when it begins.
 */
export function createArtifactOutput(fanout: Fanout, artifact: string, partBytes: number | undefined) {
  // Unsplit, the object's own hash is the artifact's: no second pass over the bytes.
  const whole = partBytes === undefined ? undefined : createHash('sha256');
  const parts: WrittenObject[] = [];
  let size = 0;
  let current = begin();
  let inPart = 0;

  function begin() {
    return fanout.open(partBytes === undefined ? artifact : partName(artifact, parts.length + 1));
  }

  return {
    /** `released` is called once no destination reads the bytes any more; calls come in the order of writes. */
    async write(bytes: Uint8Array, released?: () => void): Promise<void> {
      whole?.update(bytes);
      size += bytes.length;
      let rest = bytes;
      let pieces = 1;
      const done = () => {
        if (--pieces === 0) released?.();
      };
      while (partBytes !== undefined && inPart + rest.length > partBytes) {
        const room = partBytes - inPart;
        if (room > 0) {
          pieces++;
          await current.write(rest.subarray(0, room), done);
        }
        rest = rest.subarray(room);
        parts.push(await current.close());
        current = begin();
        inPart = 0;
      }
      await current.write(rest, done);
      inPart += rest.length;
    },
    async close(): Promise<StoredArtifact> {
      const last = await current.close();
      parts.push(last);
      return whole ? { size, sha256: whole.digest('hex'), parts } : { size, sha256: last.sha256 };
    },
    abort: (reason: DguardError) => current.abort(reason),
  };
}
