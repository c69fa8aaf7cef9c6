import { describe, expect, it } from 'vitest';
import { parseManifest, sealManifest } from '../../src/manifest/parse.ts';
import type { ManifestDraft } from '../../src/manifest/types.ts';
import { MANIFEST } from './every-field.ts';

const { integrity: _, ...rest } = MANIFEST;
const { manifest, text } = sealManifest({ ...rest, references: [] } as unknown as ManifestDraft);
const parse = (bytes: string) => parseManifest(Buffer.from(bytes), 'here:manifest.json');

describe('a manifest', () => {
  it('reads as it was sealed, unknown fields too', () => {
    expect(parse(text)).toEqual(manifest);
    expect(manifest).toMatchObject({ id: MANIFEST.id, unknown: { kept: true } });
  });

  it('whose bytes are well-formed, but others than those that were sealed, is refused', () => {
    const changed = text.replace('"size_bytes": 2', '"size_bytes": 9');
    expect(changed).not.toBe(text);
    expect(() => parse(changed)).toThrow('its integrity hash does not hold');
    const hash = manifest.integrity.sha256;
    const other = text.replace(hash, `${hash.slice(1)}${hash[0] === 'a' ? 'b' : 'a'}`);
    expect(() => parse(other)).toThrow('its integrity hash does not hold');
  });

  it('in another form than the canonical one is refused, whatever it says', () => {
    expect(() => parse(JSON.stringify(JSON.parse(text)))).toThrow('canonical form');
    expect(() => parse(`${text} `)).toThrow('canonical form');
  });
});
