import { createHash } from 'node:crypto';
import type { Chain } from '../../archive/chain.ts';
import { type Need, proveBlocks } from '../../archive/decode.ts';
import type { ContentEntry, Slice } from '../../archive/entry.ts';
import { INDEX_NAME } from '../../archive/format.ts';
import { collectLessOften } from '../../archive/heap.ts';
import { parseBlockLine } from '../../archive/index/parse-lines.ts';
import type { StoredBackup } from '../../archive/objects.ts';
import { type OpenContent, openContent, startAhead } from '../../archive/reader.ts';
import type { DatasourceConfig } from '../../config/types/datasources.ts';
import { createEngine } from '../../engines/registry.ts';
import { DguardError } from '../../errors.ts';
import type { Manifest } from '../../manifest/types.ts';
import { originOf } from '../../plan/naming.ts';
import type { Runtime } from '../../runtime.ts';
import type { CatalogEntry } from '../catalog.ts';
import { asStored, resolver } from '../find.ts';
import { withTempFolder } from '../temp-folder.ts';

/** What the entries of a backup come to. */
export interface EntryCounts {
  readonly files: number;
  readonly tables: number;
  /** Undefined where a table's were not counted. */
  readonly rows: number | undefined;
}

/**
 * `content`: every block of this backup, every block of others that it refers to, every line of the index, and what
 * the engine knows of its content. The threads that decode leave this one time: it looks at the entries meanwhile.
 * Where both find something, the blocks' error is the one that is thrown.
 */
export async function checkContent(
  copy: CatalogEntry,
  all: readonly CatalogEntry[],
  datasource: DatasourceConfig | undefined,
  runtime: Runtime,
): Promise<EntryCounts> {
  collectLessOften(300);
  const stored = asStored(copy);
  await startAhead(stored);
  const stop = new AbortController();
  const signal = AbortSignal.any([runtime.signal, stop.signal]);
  const content = await openContent(stored, resolver(all, copy), signal);
  const lines = await readBlockLines(copy, content.chain);
  const look = async () => {
    const watch = watchEntries(stored, content, lines.ends);
    const watched = { ...content, entries: watch.entries };
    await inspect(stored.manifest, watched, datasource, { ...runtime, signal });
    return watch.finish();
  };
  const looked = look();
  looked.catch(() => {});
  try {
    await proveOwnBlocks(stored.manifest.id, content.chain, { ...runtime, signal });
    lines.checkTotals();
  } catch (error) {
    stop.abort();
    await looked.catch(() => {});
    throw error;
  }
  return looked;
}

interface BlockLines {
  /** For each artifact, where each block ends in its plain bytes. */
  readonly ends: readonly (readonly number[])[];
  /** Throws unless they come to what is recorded of each artifact. */
  checkTotals(): void;
}

async function readBlockLines(copy: CatalogEntry, chain: Chain): Promise<BlockLines> {
  const own = await chain.link(chain.own);
  const subject = `${copy.folder}/${INDEX_NAME}`;
  const totals = own.artifacts.map(() => ({
    offset: 0,
    ends: [] as number[],
    digest: createHash('sha256'),
  }));
  for await (const { line, row, number } of chain.walk(own, 'blocks')) {
    const block = parseBlockLine(line, subject);
    const total = totals[row.artifact ?? -1];
    if (!total || block.offset !== total.offset || (row.block ?? 0) + number !== total.ends.length) {
      throw new DguardError('corrupt', 'the block lines do not follow one another', { subject });
    }
    total.offset += block.stored;
    total.ends.push((total.ends.at(-1) ?? 0) + block.length);
    total.digest.update(block.name, 'hex');
  }
  return {
    ends: totals.map(({ ends }) => ends),
    checkTotals() {
      for (const [i, artifact] of own.artifacts.entries()) {
        const { offset, ends, digest } = totals[i]!;
        if (
          offset === artifact.stored_size &&
          ends.length === artifact.blocks &&
          digest.digest('hex') === artifact.digest
        )
          continue;
        throw new DguardError('corrupt', 'its blocks are not those that are recorded', {
          subject: `${copy.folder}/${artifact.name}`,
        });
      }
    },
  };
}

async function proveOwnBlocks(id: string, chain: Chain, runtime: Runtime): Promise<void> {
  const own = await chain.link(chain.own);
  async function* needs(): AsyncGenerator<Need<null>> {
    for await (const { line, row } of chain.walk(own, 'blocks')) {
      const block = parseBlockLine(line, `${own.backup.folder}/${INDEX_NAME}`);
      yield { place: { ...block, link: own, artifact: row.artifact! }, uses: [null] };
    }
  }
  let done = 0;
  for await (const { place } of proveBlocks(needs(), runtime.signal)) {
    done += place.length;
    runtime.emit({ type: 'progress', subject: id, bytesDone: done });
  }
}

/**
 * Looks at every entry's line and slices while the engine walks the entries, because a walk is most of the work of
 * both. `finish` does what is left: what the engine did not walk to its end, and what lies in other backups' blocks.
 */
function watchEntries(
  { manifest, folder }: StoredBackup,
  content: OpenContent,
  blockEnds: readonly (readonly number[])[],
): { readonly entries: OpenContent['entries']; finish(): Promise<EntryCounts> } {
  const own = originOf(manifest.id);
  /** Of a walk that came to its end. */
  let counts: EntryCounts | undefined;
  let refersToOthers = false;

  async function* watched(): AsyncGenerator<ContentEntry> {
    let files = 0;
    let tables = 0;
    let rows: number | undefined = 0;
    for await (const entry of content.entries()) {
      if (entry.type === 'table') {
        tables++;
        rows = rows === undefined || entry.rows === undefined ? undefined : rows + entry.rows;
      } else {
        if (entry.type === 'tree' && entry.kind !== 'directory') files++;
        // Own blocks are proven apart: what is left is that the slices lie in them.
        for (const slice of entry.slices) {
          if (slice.origin === own) checkSlice(slice);
          else refersToOthers = true;
        }
      }
      yield entry;
    }
    counts = { files, tables, rows };
  }

  async function* foreign(): AsyncGenerator<ContentEntry> {
    for await (const entry of counts ? content.entries() : watched()) {
      if (entry.type === 'table') continue;
      const slices = entry.slices.filter(({ origin }) => origin !== own);
      if (slices.length > 0) yield { ...entry, slices };
    }
  }

  function checkSlice({ artifact, block, offset, length }: Slice): void {
    const ends = blockEnds[artifact] ?? [];
    const start = block === 0 ? 0 : (ends[block - 1] ?? Number.NaN);
    const inside = start + offset < (ends[block] ?? 0) && start + offset + length <= (ends.at(-1) ?? 0);
    if (inside) return;
    throw new DguardError('corrupt', 'a slice lies outside of its blocks', {
      subject: `${folder}/${INDEX_NAME}`,
    });
  }

  return {
    entries: (options = {}) => (options.only?.length ? content.entries(options) : watched()),
    async finish() {
      if (!counts || refersToOthers) for await (const _ of content.readAll(foreign()));
      return counts!;
    },
  };
}

async function inspect(
  manifest: Manifest,
  content: OpenContent,
  datasource: DatasourceConfig | undefined,
  runtime: Runtime,
): Promise<void> {
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
export function checkCompleteness(
  { manifest, folder }: CatalogEntry,
  { files, tables, rows }: EntryCounts,
): void {
  const facts = manifest?.facts;
  const found: [string, number | undefined, number | undefined][] = [
    ['files', files, files > 0 ? facts?.files_count : undefined],
    ['tables', tables, tables > 0 ? facts?.tables_count : undefined],
    ['rows', rows, tables > 0 && rows !== undefined ? facts?.rows : undefined],
  ];
  for (const [what, is, recorded] of found) {
    if (recorded === undefined || is === recorded) continue;
    throw new DguardError('corrupt', `the index holds ${is} ${what}, the manifest recorded ${recorded}`, {
      subject: `${folder}/${INDEX_NAME}`,
    });
  }
}
