import { createHash } from 'node:crypto';
import { INDEX_NAME, SUMS_NAME } from '../../archive/format.ts';
import { artifactObjects, checksumLines } from '../../archive/objects.ts';
import { openContent } from '../../archive/reader.ts';
import { DguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import { readObject } from '../../storages/read.ts';
import type { CatalogEntry } from '../catalog.ts';
import { asStored, resolver } from '../find.ts';
import type { VerifyLevel } from '../verified.ts';

/** `checksum`: every stored byte; from `content` on, the artifacts' bytes are proven by their blocks instead. */
export async function checkSums(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  level: VerifyLevel,
  runtime: Runtime,
): Promise<void> {
  const stored = asStored(copy);
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  const { artifacts } = await content.chain.link(content.chain.own);
  const index = stored.manifest.index!;
  const objects = level === 'checksum' ? artifacts.flatMap(artifactObjects) : [];
  for (const object of [...objects, { name: INDEX_NAME, size: index.size, sha256: index.sha256 }]) {
    const key = `${copy.folder}/${object.name}`;
    const digest = createHash('sha256');
    let size = 0;
    for await (const chunk of stored.storage.get(key, { signal: runtime.signal })) {
      digest.update(chunk);
      size += chunk.length;
      runtime.emit({ type: 'progress', subject: stored.manifest.id, bytesDone: size });
    }
    if (size !== object.size || digest.digest('hex') !== object.sha256) {
      throw new DguardError('corrupt', 'its stored bytes have not the hash that is recorded', {
        subject: key,
      });
    }
  }
  const expected = checksumLines(artifacts, { name: index.name, sha256: index.sha256 });
  const sums = await readObject(
    stored.storage,
    `${copy.folder}/${SUMS_NAME}`,
    expected.length + 1,
    runtime.signal,
  );
  if (sums.toString('utf8') !== expected) {
    throw new DguardError('corrupt', 'does not say what the manifest says', {
      subject: `${copy.folder}/${SUMS_NAME}`,
    });
  }
}
