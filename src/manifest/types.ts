import type * as z from 'zod';
import type { manifestSchema } from './schema.ts';

/** A manifest as it was read: every known field typed, unknown fields kept. */
export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestArtifact = Extract<Manifest['artifacts'], readonly unknown[]>[number];
export type ArtifactSummary = Exclude<Manifest['artifacts'], readonly unknown[]>;
export type BackupType = Manifest['type'];

/** A manifest before it is sealed: everything but the integrity that `sealManifest` adds. */
export type ManifestDraft = Omit<Manifest, 'integrity'>;
