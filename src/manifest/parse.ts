import { DguardError } from '../errors.ts';
import { canonicalJson, integritySha256, isCanonical, textIntegritySha256 } from './canonical.ts';
import { isPlainCanonical } from './plain.ts';
import { manifestIssues } from './schema.ts';
import type { Manifest, ManifestDraft } from './types.ts';

/** A manifest larger than this is refused unread. */
export const MAX_MANIFEST_BYTES = 1024 * 1024;

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The bytes of a manifest: canonical, with its integrity hash. Refuses what a reader would refuse. */
export function sealManifest(draft: ManifestDraft): { manifest: Manifest; text: string } {
  // JSON has no undefined: dropping such members first makes the hash that of what is written.
  const plain = JSON.parse(canonicalJson(draft)) as ManifestDraft;
  const text = canonicalJson({ ...plain, integrity: { sha256: integritySha256(plain) } });
  return { manifest: parseManifest(Buffer.from(text), 'manifest.json'), text };
}

/**
 * Reads a manifest's bytes as hostile input: UTF-8, size, canonical form (which rules out duplicate
 * keys and trailing bytes), format, schema, integrity. Errors: `corrupt`, or `too_new` for a format of
 * the future, both naming `subject`.
 */
export function parseManifest(bytes: Uint8Array, subject: string): Manifest {
  const refuse = (reason: string, cause?: unknown) =>
    new DguardError('corrupt', `manifest is damaged: ${reason}`, {
      operation: 'read manifest',
      subject,
      hint: 'restore from another copy or another backup; `dguard verify` shows what else is affected',
      cause,
    });
  if (bytes.length > MAX_MANIFEST_BYTES)
    throw refuse(`${bytes.length} bytes, more than ${MAX_MANIFEST_BYTES}`);
  let text: string;
  let value: unknown;
  try {
    text = UTF8.decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw refuse('not JSON in UTF-8', cause);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw refuse('not a JSON object');
  const format = (value as { format?: unknown }).format;
  if (typeof format === 'number' && Number.isInteger(format) && format > 1) {
    throw new DguardError('too_new', `this backup has format ${format}; this dguard reads format 1`, {
      operation: 'read manifest',
      subject,
      hint: 'use a newer dguard',
    });
  }
  if (!isPlainCanonical(bytes) && !isCanonicalText(value, text)) {
    throw refuse('its bytes are not the canonical form of what they say');
  }
  const issues = manifestIssues(value);
  if (issues) {
    const [issue] = issues;
    throw refuse(`${issue?.path.join('.') || 'top level'}: ${issue?.message ?? 'does not fit the schema'}`);
  }
  const manifest = value as Manifest;
  if (manifest.integrity.sha256 !== textIntegritySha256(text))
    throw refuse('its integrity hash does not hold');
  const origins = new Set([manifest, ...manifest.references].map(({ id }) => id.slice(-8)));
  if (origins.size <= manifest.references.length) throw refuse('two of its references have one short name');
  return manifest;
}

/** False too for what is nested so deeply that no writer made it. */
function isCanonicalText(value: object, text: string): boolean {
  try {
    return isCanonical(value, text);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}
