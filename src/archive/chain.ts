import { hash } from 'node:crypto';
import { artifactSchema } from '../manifest/schema.ts';
import type { ArtifactSummary, ManifestArtifact } from '../manifest/types.ts';
import { originOf } from '../plan/naming.ts';
import type { BlockLine } from './blocks.ts';
import { createCodec } from './codecs/registry.ts';
import type { Codec } from './codecs/types.ts';
import { corrupt, INDEX_NAME } from './format.ts';
import { createIndexReader, type OpenIndex, readFrame } from './index/reader.ts';
import { parseRootHeader, parseRow, type RootHeader } from './index/rows.ts';
import { parseArtifactLines, type StoredBackup, wrongArtifact } from './objects.ts';

/** One backup of a chain, opened: its root was read and its hash held. */
export interface Link extends OpenIndex {
  readonly header: RootHeader;
  readonly artifacts: readonly ManifestArtifact[];
  readonly codec: Codec;
}

/** Where a stored block is: in its artifact, and as its line says. */
export interface BlockPlace extends BlockLine {
  readonly link: Link;
  readonly artifact: number;
}

/**
 * A backup and the ancestors that it refers to, opened on demand. Everything read is checked against the
 * hash that the trusted side names: manifest → root → frames → block lines.
 * `resolve` finds a referenced backup, or undefined where the destination does not have it.
 */
export function createChain(
  backup: StoredBackup,
  resolve: (id: string) => Promise<StoredBackup | undefined>,
  signal?: AbortSignal,
) {
  const own = originOf(backup.manifest.id);
  const links = new Map<string, Promise<Link>>();
  const reader = createIndexReader(async (origin) => (await link(origin)).backup, signal);

  function link(origin: string): Promise<Link> {
    let found = links.get(origin);
    if (!found) {
      found = open(origin);
      links.set(origin, found);
      found.catch(() => {});
    }
    return found;
  }

  async function open(origin: string): Promise<Link> {
    if (origin === own) return openLink(backup, backup.manifest.index?.root.sha256);
    const reference = backup.manifest.references.find(({ id }) => originOf(id) === origin);
    if (!reference)
      throw corrupt(backup.folder, `the index refers to ${origin}, which the manifest does not name`);
    const ancestor = await resolve(reference.id);
    if (!ancestor)
      throw corrupt(backup.folder, `the backup ${reference.id}, which this one needs, is missing`);
    return openLink(ancestor, reference.root_sha256);
  }

  async function openLink(stored: StoredBackup, rootSha256: string | undefined): Promise<Link> {
    const { manifest, folder } = stored;
    const index = manifest.index;
    const subject = `${folder}/${INDEX_NAME}`;
    if (!index || index.name !== INDEX_NAME) throw corrupt(folder, 'the manifest names no index');
    if (index.root.sha256 !== rootSha256)
      throw corrupt(folder, "the manifest's root is not the one referred to");
    const codec = await createCodec(manifest.compression.codec);
    const lines = await readFrame(stored, index.root, signal);
    const header = parseRootHeader(lines[0] ?? '', subject);
    if (header.id !== manifest.id) throw corrupt(subject, 'the index is of another backup');
    const rows = lines.slice(1).map((line) => parseRow(line, subject));
    const artifacts = await artifactsOf({ backup: stored, rows });
    return { backup: stored, header, rows, artifacts, codec };
  }

  async function artifactsOf(index: OpenIndex): Promise<readonly ManifestArtifact[]> {
    const { manifest, folder } = index.backup;
    const artifacts = Array.isArray(manifest.artifacts)
      ? (manifest.artifacts as ManifestArtifact[])
      : await readTable(index, manifest.artifacts as ArtifactSummary);
    const wrong = wrongArtifact(artifacts);
    if (wrong !== undefined) throw corrupt(folder, wrong);
    return artifacts;
  }

  async function readTable(index: OpenIndex, summary: ArtifactSummary): Promise<ManifestArtifact[]> {
    const subject = index.backup.folder;
    const lines: string[] = [];
    for await (const frame of reader.walkFrames(index, 'artifacts')) {
      lines.push(...frame.lines);
      if (lines.length > summary.count + summary.objects) break;
    }
    const sha256 = hash('sha256', lines.map((line) => `${line}\n`).join(''), 'hex');
    if (sha256 !== summary.sha256) {
      throw corrupt(subject, 'the table of artifacts is not the one that the manifest names');
    }
    return parseArtifactLines(lines, `${subject}/${INDEX_NAME}`).map((value) => {
      const parsed = artifactSchema.safeParse(value);
      if (parsed.success) return parsed.data;
      const field = parsed.error.issues[0]?.path.join('.') ?? '';
      throw corrupt(subject, `the table of artifacts has a wrong ${field || 'line'}`);
    });
  }

  /** The place of one block. Errors: `corrupt` where there is no such block. */
  async function place(origin: string, artifact: number, block: number): Promise<BlockPlace> {
    const of = await link(origin);
    return { ...(await reader.readBlockLine(of, artifact, block)), link: of, artifact };
  }

  const { walk, walkFrames, seekFrames } = reader;
  return { own, link, walk, walkFrames, seekFrames, place };
}

export type Chain = ReturnType<typeof createChain>;
