import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { document } from '../../../src/engines/mongodb/bson/bson.ts';
import { readParts } from '../../../src/engines/mongodb/dump/content.ts';
import { openDumpFolder } from '../../../src/engines/mongodb/dump/folder.ts';
import { documentsPath } from '../../../src/engines/mongodb/dump/members.ts';
import {
  besideCollection,
  fileStem,
  scratchDatabase,
  stemCollection,
} from '../../../src/engines/mongodb/server/names.ts';

describe('mongodb: names', () => {
  it.each([
    ['users', 'users'],
    ['fs.files', 'fs.files'],
    ['a b+c', 'a+b%2Bc'],
    ["it's (not) *!", 'it%27s+%28not%29+%2A%21'],
    ['ä/%', '%C3%A4%2F%25'],
    ['$x~_-', '%24x~_-'],
  ])('%s is the file %s, as mongodump calls it', (collection, stem) => {
    expect(fileStem(collection)).toBe(stem);
    expect(stemCollection(stem)).toBe(collection);
  });

  it('cuts what is longer than a file name as mongodump does', () => {
    const stem = fileStem('ü'.repeat(120));
    expect(stem).toHaveLength(238);
    expect(stem).toMatch(/%24[\w-]{27}$/);
    expect(stemCollection(stem)).toBeUndefined();
  });

  it('names beside others fit, and stay apart', () => {
    const database = 'd'.repeat(60);
    const names = ['a', 'a.b', 'a_b', 'ü'.repeat(100), `${'ü'.repeat(100)}x`].map((name) =>
      besideCollection(database, 'undo', '12345678', name),
    );
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) {
      expect(Buffer.byteLength(`${database}.${name}`)).toBeLessThanOrEqual(120);
      expect(name).toMatch(/^__dg_undo_12345678_[^.]+$/);
    }
    expect(Buffer.byteLength(scratchDatabase('ü'.repeat(31), '12345678'))).toBeLessThanOrEqual(63);
  });
});

it('a time series whose name is cut in files has its documents in a file with a cut of its own', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dguard-mongo-series-'));
  try {
    const name = '温度'.repeat(13);
    const info = { name, type: 'timeseries', options: document([]), indexes: [] } as const;
    const file = basename(documentsPath('x', info)!);
    expect(file).not.toContain(fileStem(name));
    writeFileSync(join(folder, file), '');
    const metadata = { indexes: [], collectionName: name, type: 'timeseries' };
    writeFileSync(join(folder, `${fileStem(name)}.metadata.json`), JSON.stringify(metadata));
    const signal = new AbortController().signal;
    const { content } = await openDumpFolder(folder, { signal, warn: () => {} });
    expect(await readParts(content)).toMatchObject([{ info: { name, type: 'timeseries' }, format: 'bson' }]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
