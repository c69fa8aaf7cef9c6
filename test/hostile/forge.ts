import { hash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createCodec } from '../../src/archive/codecs/registry.ts';
import type { EntryRecord, Slice } from '../../src/archive/entry.ts';
import { type CodecName, INDEX_NAME, SUMS_NAME } from '../../src/archive/format.ts';
import type { FrameRow } from '../../src/archive/index/frames.ts';
import { slicesText, treeHead } from '../../src/archive/index/lines.ts';
import { rootHeaderText, rowText } from '../../src/archive/index/rows.ts';
import { artifactLines, artifactsSummary, checksumLines } from '../../src/archive/objects.ts';
import { canonicalJson, integritySha256 } from '../../src/manifest/canonical.ts';
import { sealManifest } from '../../src/manifest/parse.ts';
import type { ManifestArtifact, ManifestDraft } from '../../src/manifest/types.ts';
import { originOf } from '../../src/plan/naming.ts';
import { madeAs } from '../archive/support.ts';

/** Writes a frame of the index, and gives the row that describes it. */
export type AddFrame = (
  section: string,
  level: number,
  lines: readonly string[],
  more?: Partial<FrameRow>,
) => Promise<FrameRow>;

/**
 * A backup of files as dguard writes it, with one thing in it that dguard would not write. Each hook gets what an
 * honest writer would put there.
 */
export interface Recipe {
  readonly codec?: CodecName;
  /** Plain blocks of the one artifact. */
  readonly blocks?: readonly Buffer[];
  /** A block as it is stored. */
  readonly stored?: (frame: Buffer, number: number) => Buffer;
  readonly blockLines?: (lines: string[]) => readonly string[];
  /** Lines of the section `entries`, or what they are made of. */
  readonly entries?: readonly (string | HostileEntry)[];
  /** How many entries the header claims, where that is not the number of lines. */
  readonly entriesCount?: number;
  /** Rows of the root. */
  readonly rows?: (
    rows: FrameRow[],
    addFrame: AddFrame,
  ) => Promise<readonly FrameRow[]> | readonly FrameRow[];
  /** The root's lines, header first. */
  readonly root?: (lines: string[]) => readonly string[];
  /** The stored root. */
  readonly rootFrame?: (frame: Buffer) => Buffer;
  readonly artifacts?: (table: ManifestArtifact[]) => ManifestArtifact[];
  /** The table lies in the index, as these lines. */
  readonly table?: (lines: string[]) => readonly string[];
  readonly manifest?: (draft: ManifestDraft) => object;
  /** The manifest's bytes. */
  readonly text?: (text: string) => string | Buffer;
  /** Everything in the folder, by name. */
  readonly objects?: (objects: Map<string, Buffer>) => void;
}

export interface HostileEntry extends Partial<EntryRecord> {
  readonly path: string;
  readonly at?: readonly (Slice | string)[];
}

/** The entry that every tree begins with. */
export const ROOT = { path: '', kind: 'directory' } as const;

export interface Forged {
  readonly id: string;
  readonly folder: string;
  readonly objects: ReadonlyMap<string, Buffer>;
}

const TIME_NS = 1_700_000_000_123_456_789n;

/** The id of the hostile backup of that number. */
export function hostileId(number: number): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz234567';
  return `full-2026-01-02T03-04-05Z-hostil${letters[number >> 5]}${letters[number & 31]}`;
}

/** An entry's line; `at` may hold texts that no slice has. */
export function entryLine({ at = [], ...facts }: HostileEntry): string {
  const entry: EntryRecord = {
    kind: 'file',
    size: 0,
    mtimeNs: TIME_NS,
    ctimeNs: TIME_NS,
    ino: 7n,
    dev: 1n,
    mode: facts.kind === 'directory' ? 0o755 : 0o644,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    ...facts,
  };
  const texts = at.map((slice) => (typeof slice === 'string' ? slice : slicesText([slice]).slice(7, -2)));
  return `${treeHead(entry)}${texts.length === 0 ? '' : `,"at":[${texts.join(',')}]`}}`;
}

/** All of a block, or what `more` says of it, in the backup of that id. */
export function sliceOf(id: string, block: number, length: number, more: Partial<Slice> = {}): Slice {
  return { origin: originOf(id), artifact: 0, block, offset: 0, length, ...more };
}

export async function forge(id: string, recipe: Recipe): Promise<Forged> {
  const codecName = recipe.codec ?? 'zstd';
  const codec = await createCodec(codecName);
  const zstd = await createCodec('zstd');
  const objects = new Map<string, Buffer>();

  const pieces: Buffer[] = [];
  let lines: string[] = [];
  let offset = 0;
  const names: string[] = [];
  for (const [number, block] of (recipe.blocks ?? []).entries()) {
    const honest = Buffer.from(await codec.compress(block));
    const stored = recipe.stored?.(honest, number) ?? honest;
    names.push(hash('sha256', block, 'hex'));
    lines.push(`[${offset},${stored.length},${block.length},"${names.at(-1)}"]`);
    pieces.push(stored);
    offset += stored.length;
  }
  lines = [...(recipe.blockLines?.(lines) ?? lines)];
  const artifact = Buffer.concat(pieces);
  const honestTable: ManifestArtifact[] =
    pieces.length === 0
      ? []
      : [
          {
            name: 'files.tar.zst',
            member: 'files.tar',
            media: 'application/x-tar',
            format: 'tar',
            size: (recipe.blocks ?? []).reduce((sum, { length }) => sum + length, 0),
            blocks: pieces.length,
            digest: hash('sha256', Buffer.from(names.join(''), 'hex'), 'hex'),
            stored_size: artifact.length,
            sha256: hash('sha256', artifact, 'hex'),
          },
        ];
  if (pieces.length > 0) objects.set('files.tar.zst', artifact);
  const table = recipe.artifacts?.(honestTable) ?? honestTable;

  const frames: Buffer[] = [];
  let at = 0;
  const addFrame: AddFrame = async (section, level, text, more = {}) => {
    const raw = Buffer.from(text.map((line) => `${line}\n`).join(''));
    const frame = Buffer.from(await zstd.compress(raw));
    const row = {
      section: section as FrameRow['section'],
      level,
      origin: originOf(id),
      offset: at,
      stored: frame.length,
      length: raw.length,
      sha256: hash('sha256', raw, 'hex'),
      ...(section === 'blocks' ? { artifact: 0, block: 0 } : {}),
      ...(section === 'entries' ? { first: '' } : {}),
      lines: text.length,
      bytes: 0,
      origins: [originOf(id)],
      ...more,
    };
    frames.push(frame);
    at += frame.length;
    return row;
  };
  const tableLines = recipe.table?.(artifactLines(table));
  const entries = (recipe.entries ?? []).map((entry) =>
    typeof entry === 'string' ? entry : entryLine(entry),
  );
  const honestRows: FrameRow[] = [];
  if (tableLines) honestRows.push(await addFrame('artifacts', 0, tableLines));
  if (lines.length > 0) honestRows.push(await addFrame('blocks', 0, lines));
  if (entries.length > 0) honestRows.push(await addFrame('entries', 0, entries));
  const rows = (await recipe.rows?.(honestRows, addFrame)) ?? honestRows;
  const header = rootHeaderText({
    index: 1,
    id,
    entries: recipe.entriesCount ?? entries.length,
    blocks: lines.length,
    sources: [{ path: '/nowhere/source', entry: '', kind: 'directory' }],
  });
  const rootLines = [header, ...rows.map(rowText)];
  const rootRaw = Buffer.from(`${(recipe.root?.(rootLines) ?? rootLines).join('\n')}\n`);
  const honestRoot = Buffer.from(await zstd.compress(rootRaw));
  const rootFrame = recipe.rootFrame?.(honestRoot) ?? honestRoot;
  const index = Buffer.concat([...frames, rootFrame]);
  objects.set(INDEX_NAME, index);

  const indexFacts = {
    name: INDEX_NAME,
    size: index.length,
    sha256: hash('sha256', index, 'hex'),
    root: {
      offset: at,
      stored: rootFrame.length,
      length: rootRaw.length,
      sha256: hash('sha256', rootRaw, 'hex'),
    },
    frames: frames.length + 1,
    entries: entries.length,
    blocks: lines.length,
  };
  objects.set(SUMS_NAME, Buffer.from(checksumLines(table, indexFacts)));
  const draft: ManifestDraft = {
    ...madeAs(id),
    // What a liar would say, so that it is not this that every case is refused for.
    size_bytes: 2 ** 50,
    compressed_size_bytes: artifact.length,
    stored_size_bytes: artifact.length + index.length,
    compression: { codec: codecName },
    chunker: { algorithm: 'gear', version: 1, min: 262144, avg: 1048576, max: 4194304 },
    artifacts: tableLines ? artifactsSummary(table, tableLines) : table,
    index: indexFacts,
    destinations: ['hostile'],
  };
  const changed = recipe.manifest?.(draft);
  const text = changed ? seal(changed) : sealManifest(draft).text;
  objects.set('manifest.json', Buffer.from(recipe.text?.(text) ?? text));
  recipe.objects?.(objects);
  return { id, folder: `job/source/${id}`, objects };
}

/** A manifest with its integrity hash, whatever it says. */
export function seal(draft: object): string {
  const plain = JSON.parse(canonicalJson(draft)) as object;
  return canonicalJson({ ...plain, integrity: { sha256: integritySha256(plain) } });
}

/** Puts a forged backup into a local destination. */
export function plant(destination: string, { folder, objects }: Forged): void {
  for (const [name, bytes] of objects) {
    const path = join(destination, folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes, { mode: 0o600 });
  }
}
