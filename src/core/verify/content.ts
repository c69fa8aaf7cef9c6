import { createHash } from 'node:crypto';
import { parseBlockLine } from '../../archive/chain.ts';
import { type Need, proveBlocks } from '../../archive/decode.ts';
import { INDEX_NAME, originOf } from '../../archive/format.ts';
import { collectLessOften } from '../../archive/heap.ts';
import { openContent } from '../../archive/reader.ts';
import type { DatasourceConfig } from '../../config/types.ts';
import { createEngine } from '../../engines/registry.ts';
import type { ContentEntry, Slice } from '../../engines/types.ts';
import { DguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { CatalogEntry } from '../catalog.ts';
import { asStored, resolver } from '../find.ts';
import { withTempFolder } from '../temp-folder.ts';

/** `content`: every block of this backup, every block of others that it refers to, every line of the index. */
export async function checkContent(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  datasource: DatasourceConfig | undefined,
  runtime: Runtime,
): Promise<void> {
  collectLessOften(300);
  const stored = asStored(copy);
  const { manifest } = stored;
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  const { chain } = content;
  const own = await chain.link(chain.own);
  const subject = `${copy.folder}/${INDEX_NAME}`;
  const totals = own.artifacts.map(() => ({
    offset: 0,
    /** The plain bytes up to the end of each block. */
    ends: [] as number[],
    digest: createHash('sha256'),
  }));

  async function* ownBlocks(): AsyncGenerator<Need<null>> {
    for await (const { line, row, number } of chain.walk(own, 'blocks')) {
      const block = parseBlockLine(line, subject);
      const total = totals[row.artifact ?? -1];
      if (!total || block.offset !== total.offset || (row.block ?? 0) + number !== total.ends.length) {
        throw new DguardError('corrupt', 'the block lines do not follow one another', { subject });
      }
      total.offset += block.stored;
      total.ends.push((total.ends.at(-1) ?? 0) + block.length);
      total.digest.update(block.name, 'hex');
      yield { place: { ...block, link: own, artifact: row.artifact! }, uses: [null] };
    }
  }
  let done = 0;
  for await (const { place } of proveBlocks(ownBlocks(), runtime.signal)) {
    done += place.length;
    runtime.emit({ type: 'progress', subject: manifest.id, bytesDone: done });
  }
  for (const [i, artifact] of own.artifacts.entries()) {
    const total = totals[i]!;
    if (
      total.offset !== artifact.stored_size ||
      total.ends.length !== artifact.blocks ||
      total.digest.digest('hex') !== artifact.digest
    ) {
      throw new DguardError('corrupt', 'its blocks are not those that are recorded', {
        subject: `${copy.folder}/${artifact.name}`,
      });
    }
  }
  async function* foreign(): AsyncGenerator<ContentEntry> {
    for await (const entry of content.entries()) {
      if (entry.type === 'table') continue;
      // Own blocks were proven above: what is left is that the slices lie in them.
      for (const slice of entry.slices) if (slice.origin === originOf(manifest.id)) checkSlice(slice);
      const slices = entry.slices.filter(({ origin }) => origin !== originOf(manifest.id));
      if (slices.length > 0) yield { ...entry, slices };
    }
  }
  function checkSlice({ artifact, block, offset, length }: Slice): void {
    const ends = totals[artifact]?.ends ?? [];
    const start = block === 0 ? 0 : (ends[block - 1] ?? Number.NaN);
    const inside = start + offset < (ends[block] ?? 0) && start + offset + length <= (ends.at(-1) ?? 0);
    if (!inside) throw new DguardError('corrupt', 'a slice lies outside of its blocks', { subject });
  }
  for await (const _ of content.readAll(foreign())) runtime.signal.throwIfAborted();
  const engine = await createEngine(manifest.datasource.type, manifest.id);
  const findings = await withTempFolder(runtime, 'verify', (tempDir) =>
    engine.inspect(content, {
      ...(datasource ? { options: datasource } : {}),
      env: runtime.env,
      tempDir,
      signal: runtime.signal,
      onProgress: () => {},
    }),
  );
  if (findings.length > 0)
    throw new DguardError('corrupt', findings.slice(0, 5).join('; '), { subject: manifest.id });
}

/** As many files, tables and rows as the manifest recorded while they were read. */
export async function checkCompleteness(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  runtime: Runtime,
): Promise<void> {
  const stored = asStored(copy);
  const { facts } = stored.manifest;
  const content = await openContent(stored, resolver(all, copy), runtime.signal);
  let files = 0;
  let tables = 0;
  let rows = 0;
  let counted = true;
  for await (const entry of content.entries()) {
    if (entry.type === 'tree' && entry.kind !== 'directory') files++;
    if (entry.type !== 'table') continue;
    tables++;
    counted &&= entry.rows !== undefined;
    rows += entry.rows ?? 0;
  }
  const found: [string, number, number | undefined][] = [
    ['files', files, files > 0 ? facts?.files_count : undefined],
    ['tables', tables, tables > 0 ? facts?.tables_count : undefined],
    ['rows', rows, tables > 0 && counted ? facts?.rows : undefined],
  ];
  for (const [what, is, recorded] of found) {
    if (recorded === undefined || is === recorded) continue;
    throw new DguardError('corrupt', `the index holds ${is} ${what}, the manifest recorded ${recorded}`, {
      subject: `${copy.folder}/${INDEX_NAME}`,
    });
  }
}
