import { cpSync, existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CodecName } from '../../src/archive/format.ts';
import { canonicalJson, integritySha256 } from '../../src/manifest/canonical.ts';
import { fileEntry, noise, streamMember, treeMember } from '../archive/support.ts';
import {
  bareEntry,
  everything,
  MTIME_NS,
  readTree,
  recover,
  statOf,
  tempFolder,
  writeFolder,
} from './support.ts';

const CODECS: readonly CodecName[] = ['zstd', 'gzip', 'lz4', 'brotli', 'deflate', 'none'];

let temp: string;
beforeEach(() => {
  temp = tempFolder();
});
afterEach(() => {
  rmSync(temp, { recursive: true, force: true });
});

function expectSame(target: string, files: ReadonlyMap<string, Buffer>): void {
  const found = readTree(target);
  expect([...found.keys()].sort()).toEqual([...files.keys()].sort());
  for (const [path, content] of files) expect(found.get(path)!.equals(content), path).toBe(true);
}

describe('recover.py, which knows only FORMAT.md', () => {
  describe.each(CODECS)('%s', (codec) => {
    it.each([undefined, 700_000])(
      'restores streams and a tree byte for byte (parts of %s)',
      async (partBytes) => {
        const { members, files } = everything();
        const backup = await writeFolder(temp, members, {
          codec,
          ...(partBytes === undefined ? {} : { partBytes }),
        });
        const target = join(temp, 'target');
        expect(recover(backup.path, target)).toMatchObject({ status: 0 });
        files.set('other-name', files.get('big/middle')!);
        expectSame(target, files);
      },
    );
  });

  it('restores kinds, modes, times to the nanosecond, links and holes', async () => {
    const { path } = await writeFolder(temp, everything().members);
    const target = join(temp, 'target');
    expect(recover(path, target)).toMatchObject({ status: 0 });
    expect(statOf(target, '').mode).toBe(0o750);
    expect(statOf(target, 'many').mode).toBe(0o555);
    expect(statOf(target, 'empty').mode).toBe(0o4755);
    expect(statOf(target, 'stream.dump').mode).toBe(0o600);
    expect(statOf(target, 'many/0007').stats.mtimeNs).toBe(MTIME_NS);
    expect(statOf(target, 'many').stats.mtimeNs).toBe(MTIME_NS);
    expect(statOf(target, 'big').stats.mtimeNs).toBe(1_500_000_000_000_000_001n);
    expect(statOf(target, 'f-\xc3\xbc"\\\n').stats.mtimeNs).toBe(-1_500_000_000n);
    expect(statOf(target, 'link').link).toBe('../nowhere/\xff');
    expect(statOf(target, 'link').stats.mtimeNs).toBe(MTIME_NS);
    expect(statOf(target, 'pipe').stats.isFIFO()).toBe(true);
    expect(statOf(target, 'other-name').stats.ino).toBe(statOf(target, 'big/middle').stats.ino);
    const sparse = statOf(target, 'big/sparse').stats;
    expect(sparse.blocks * 512n).toBeLessThan(sparse.size / 2n);
    expect(existsSync(join(target, 'socket'))).toBe(false);
  });

  it('reads a table of artifacts that lies in the index, with parts and without', async () => {
    const members = Array.from({ length: 60 }, (_, i) =>
      streamMember(`t${String(i).padStart(3, '0')}.jsonl`, noise(3000 + i, i + 1)),
    );
    for (const partBytes of [undefined, 1000]) {
      const root = join(temp, String(partBytes));
      const options = partBytes === undefined ? {} : { partBytes };
      const { path, manifest } = await writeFolder(root, members, options);
      expect(Array.isArray(manifest.artifacts)).toBe(false);
      const target = join(root, 'target');
      expect(recover(path, target)).toMatchObject({ status: 0 });
      const expected = Array.from({ length: 60 }, (_, i) => noise(3000 + i, i + 1));
      const names = expected.map((content, i) => [`t${String(i).padStart(3, '0')}.jsonl`, content] as const);
      expectSame(target, new Map(names));
    }
  });

  it('reads an index of several levels', async () => {
    const files = Array.from({ length: 8000 }, (_, i) =>
      fileEntry(`f${String(i).padStart(6, '0')}`, Buffer.from(`${i}`)),
    );
    const { path, manifest } = await writeFolder(temp, [treeMember(files)]);
    expect(manifest.index!.frames).toBeGreaterThan(80);
    const target = join(temp, 'target');
    expect(recover(path, target)).toMatchObject({ status: 0 });
    expect(readTree(target).size).toBe(8000);
  });
});

describe('recover.py refuses what does not hold', () => {
  it.each(CODECS)('%s: one flipped byte in any object makes it exit 4', async (codec) => {
    const { members } = small();
    const { path } = await writeFolder(temp, members, { codec });
    const spots = codec === 'zstd' || codec === 'gzip' ? [0, 0.01, 0.3, 0.5, 0.9, 1] : [0, 0.5, 1];
    let runs = 0;
    for (const name of readdirSync(path)) {
      const original = readFileSync(join(path, name));
      for (const spot of spots) {
        const at = Math.floor(spot * (original.length - 1));
        const bad = Buffer.from(original);
        bad[at] = bad[at]! ^ 0x10;
        writeFileSync(join(path, name), bad);
        const target = join(temp, `target-${runs++}`);
        const { status, stderr } = recover(path, target);
        expect(status, `${name} at ${at}: ${stderr}`).toBe(4);
        expect(stderr).toMatch(/^damaged: /m);
        expect(stderr).not.toMatch(/Traceback/);
      }
      writeFileSync(join(path, name), original);
    }
    expect(runs).toBe(5 * spots.length);
    expect(recover(path, join(temp, 'target'))).toMatchObject({ status: 0 });
  });

  it('restores what is whole, and only that, where one block is damaged', async () => {
    const { members, files } = everything();
    const { path, manifest } = await writeFolder(temp, members, { codec: 'none' });
    const [artifact] = manifest.artifacts as { name: string }[];
    const object = join(path, artifact!.name);
    const bytes = readFileSync(object);
    const at = bytes.indexOf(files.get('big/large.bin')!.subarray(0, 64)) + 1_000_000;
    bytes[at] = bytes[at]! ^ 1;
    writeFileSync(object, bytes);
    const target = join(temp, 'target');
    const { status, stderr } = recover(path, target);
    expect(status).toBe(4);
    expect(stderr).toMatch(/'big\/large.bin' is not restored/);
    files.set('other-name', files.get('big/middle')!);
    files.delete('big/large.bin');
    expectSame(target, files);
  });

  it.each(['files.tar.zst', 'index.zst', 'manifest.json', 'SHA256SUMS', 'stream.dump.zst'])(
    'names %s where it is missing, cut short or longer than recorded',
    async (name) => {
      const { path } = await writeFolder(temp, small().members);
      const original = readFileSync(join(path, name));
      const spoil = [
        () => rmSync(join(path, name)),
        () => truncateSync(join(path, name), original.length - 1),
        () => writeFileSync(join(path, name), Buffer.concat([original, Buffer.from('x')])),
      ];
      for (const [run, step] of spoil.entries()) {
        step();
        const { status, stderr } = recover(path, join(temp, `target-${run}`));
        expect(status).toBe(4);
        expect(stderr).toContain(name);
        writeFileSync(join(path, name), original);
      }
    },
  );

  it.each([
    [
      'keys in another order',
      (text: string) => text.replace(/\{\n {2}("[^\n]*\n)([\s\S]*)\n\}/, '{\n$2,\n  $1}'),
    ],
    ['a key twice', (text: string) => text.replace('  "job":', '  "job": "other",\n  "job":')],
    ['another spacing', (text: string) => text.replace('"job": ', '"job":  ')],
    ['a changed value', (text: string) => text.replace('"host": "host"', '"host": "hoax"')],
    ['a format of the future', (text: string) => resealed(text, { format: 2 })],
    ['an unsafe artifact name', (text: string) => text.replaceAll('"files.tar.zst"', '"../files.tar.zst"')],
  ])('refuses a manifest with %s', async (_, change) => {
    const { path } = await writeFolder(temp, small().members);
    const file = join(path, 'manifest.json');
    const text = readFileSync(file, 'utf8');
    let changed = change(text);
    if (changed.includes('"../')) changed = resealed(changed, {});
    expect(changed).not.toBe(text);
    writeFileSync(file, changed);
    const { status, stderr } = recover(path, join(temp, 'target'));
    expect(status).toBe(4);
    expect(stderr).not.toMatch(/Traceback/);
  });

  it('takes manifests whose free part needs every rule of the canonical form', async () => {
    const { path } = await writeFolder(temp, small().members);
    const file = join(path, 'manifest.json');
    const extra = {
      '10': 1,
      '9': [],
      a: {},
      Z: 1.5e-7,
      'ü\u2028': '\ud800 \u007f\u0001"\\',
      '😀': null,
      '￿': true,
    };
    writeFileSync(file, resealed(readFileSync(file, 'utf8'), { extra }));
    expect(recover(path, join(temp, 'target'))).toMatchObject({ status: 0 });
  });

  it.each([
    ['a path out of the target', [fileEntry('../evil', Buffer.from('x'))]],
    ['an absolute path', [fileEntry('/evil', Buffer.from('x'))]],
    [
      'a path through a link',
      [bareEntry('l', 'symlink', { link: '..' }), fileEntry('l/evil', Buffer.from('x'))],
    ],
    ['a hard link to a file outside', [bareEntry('evil', 'hardlink', { link: '../outside' })]],
  ])('never writes %s', async (_, items) => {
    const { path } = await writeFolder(join(temp, 'store'), [treeMember(items)]);
    writeFileSync(join(temp, 'outside'), 'untouched');
    expect(recover(path, join(temp, 'target')).status).toBe(4);
    expect(readdirSync(temp).sort()).toEqual(['outside', 'store', 'target']);
    expect(existsSync(join(temp, 'target', 'evil'))).toBe(false);
  });

  it('refuses a target that is not empty, and touches nothing in it', async () => {
    const { path } = await writeFolder(temp, small().members);
    const target = join(temp, 'target');
    cpSync(path, target, { recursive: true });
    expect(recover(path, target).status).toBe(1);
    expect(readdirSync(target)).toEqual(readdirSync(path));
  });
});

function small() {
  const files = [fileEntry('a', noise(2000, 5, 30)), fileEntry('b', noise(300_000, 6, 30))];
  return { members: [treeMember(files), streamMember('stream.dump', noise(400_000, 7, 30))] };
}

function resealed(text: string, change: object): string {
  const { integrity: _, ...rest } = { ...(JSON.parse(text) as { integrity: unknown }), ...change };
  return canonicalJson({ ...rest, integrity: { sha256: integritySha256(rest) } });
}
