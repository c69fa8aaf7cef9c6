import { describe, expect, it } from 'vitest';
import type { EntryRecord } from '../../src/archive/entry.ts';
import { createPacker, packedItems } from '../../src/archive/packed.ts';
import { tarHeader, tarPadding } from '../../src/archive/tar/header.ts';
import { noise } from '../engines/files/support.ts';
import { flatItem, record } from '../engines/files/support-items.ts';

const ROOM = 64 * 1024;

function packer() {
  const room = (bytes: number) => new Uint8Array(new SharedArrayBuffer(bytes));
  return createPacker({ tar: room(ROOM), heads: room(ROOM), paths: room(ROOM) });
}

/** Neighbours that share their owner and mode, and neighbours that do not, in each field. */
const ENTRIES: readonly EntryRecord[] = [
  record('', { kind: 'directory', user: 'root', group: 'root' }),
  record('a', { user: 'root', group: 'root' }),
  record('b', { user: 'root', group: 'root' }),
  record('c', { user: 'root' }),
  record('d', { group: 'root' }),
  record('e', { user: 'roo', group: 't' }),
  record('f', { user: 'with "quotes"', group: 'g' }),
  record('g', { mode: 0o600 }),
  record('h', { mode: 0o600, uid: 7 }),
  record('i', { mode: 0o600, uid: 7, gid: 8 }),
  record('j', { mode: 0o600, uid: 7, gid: 8, dev: 9n }),
  record('k', { uid: 0o10000000, gid: 3 }),
  record('l', { uid: 0, gid: 3, mtimeNs: -1n }),
  record('l\xe4tin', { user: 'root', group: 'root' }),
  record(`m${'/m'.repeat(200)}`),
  record('n', { xattrs: [{ name: 'user.a', value: Buffer.from('1') }] }),
  record('o', { kind: 'symlink', link: 'l'.repeat(300) }),
  record('p', { kind: 'socket' }),
  record('q', { user: 'root', group: 'root' }),
];

const sized = ENTRIES.map((entry, at) => {
  const content = entry.kind === 'file' ? noise(at * 137, at + 1) : undefined;
  return { entry: { ...entry, size: content?.length ?? 0 }, ...(content && { content }) };
});

const expectedTar = Buffer.concat(
  sized.flatMap(({ entry, content }) => [
    tarHeader(entry),
    content ?? Buffer.alloc(0),
    tarPadding(entry.size),
  ]),
);

describe('a packer', () => {
  it.each([
    ['elsewhere', false],
    ['where the packer said', true],
  ])('makes the tar and the index heads of what it is given, with content that lies %s', (_, inRoom) => {
    const made = packer();
    for (const { entry, content } of sized) {
      let given: Uint8Array | undefined = content;
      if (inRoom && content !== undefined) {
        const { bytes, at } = made.contentRoom();
        content.copy(bytes, at);
        given = bytes.subarray(at, at + content.length);
      }
      expect(made.add(entry, given)).toBe(true);
    }
    const run = made.run();
    expect(Buffer.from(run.tar).equals(expectedTar)).toBe(true);
    expect([...packedItems(run)].map(flatItem)).toEqual(sized.map(flatItem));
  });

  it('refuses what does not fit, and has it not', () => {
    const made = packer();
    const large = record('large', { size: ROOM - 512 });
    expect(made.add(record('a', { size: 1 }), noise(1, 1))).toBe(true);
    expect(made.add(large, noise(ROOM - 512, 2))).toBe(false);
    expect(made.contentRoom().at).toBe(3 * 512);
    expect(made.add(record('b', { size: 1 }), noise(1, 3))).toBe(true);
    expect([...packedItems(made.run())].map(({ entry }) => entry.path)).toEqual(['a', 'b']);
    const whole = packer();
    expect(whole.add(large, noise(ROOM - 512, 2))).toBe(true);
  });
});
