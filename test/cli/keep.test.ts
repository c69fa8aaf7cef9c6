import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dguard } from './support.ts';

let folder: string;
let remove: () => void;

beforeEach(() => {
  ({ folder, remove } = place());
});
afterEach(() => remove());

function place() {
  const made = mkdtempSync(join(tmpdir(), 'dguard-keep-'));
  mkdirSync(join(made, 'source'));
  writeFileSync(join(made, 'source/a'), 'a'.repeat(5000));
  writeFileSync(join(made, 'source/b'), 'b'.repeat(5000));
  writeFileSync(join(made, 'source/c'), 'c'.repeat(5000));
  writeFileSync(
    join(made, 'backup.yaml'),
    `version: 1
datasources: { docs: { type: files, source_path: ./source } }
destinations: { store: { type: local, path: ./store } }
jobs:
  prod: { datasources: [docs], destinations: [store], type: full, retention: { keep_last: 1 } }
`,
    { mode: 0o600 },
  );
  return { folder: made, remove: () => rmSync(made, { recursive: true, force: true }) };
}

async function json(...args: string[]) {
  const { stdout, code } = await dguard(folder, '--json', '--no-progress', ...args);
  return { code, document: JSON.parse(stdout) };
}

async function backup(): Promise<string> {
  const { document } = await json('backup', 'prod');
  return document.backups[0].id;
}

describe('prune', () => {
  it('explains itself, does it, and has nothing to do the second time', async () => {
    const old = await backup();
    const now = await backup();
    const { document: planned } = await json('prune', '--dry-run');
    expect(planned.plan).toEqual([
      { id: now, destination: 'store', keep: true, reasons: expect.arrayContaining(['keep_last 1 of 1']) },
      { id: old, destination: 'store', keep: false, reasons: [expect.any(String)] },
    ]);
    expect((await json('list')).document.backups).toHaveLength(2);
    const done = await dguard(folder, 'prune', 'prod');
    expect(done).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/pruned prod\/docs at store: 1 removed/),
    });
    expect((await json('list')).document.backups.map(({ id }: { id: string }) => id)).toEqual([now]);
    expect((await dguard(folder, 'prune')).stdout).toContain('nothing to remove');
    expect(await dguard(folder, 'prune', 'nosuch')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('jobs: prod'),
    });
  });

  it('says why something stays that the policy removes', async () => {
    await backup();
    await backup();
    mkdirSync(join(folder, 'store/begun'));
    writeFileSync(join(folder, 'store/begun/lease-0000.json'), '');
    const { code, stderr } = await dguard(folder, 'prune');
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /1 of those that the policy removes stay.*begun holds a lease that cannot be read/,
    );
  });

  it('says why an unmounted disk is left alone', async () => {
    await backup();
    const text = 'version: 1\n';
    writeFileSync(
      join(folder, 'mounted.yaml'),
      `${text}datasources: { docs: { type: files, source_path: ./source } }
destinations: { store: { type: local, path: ./store, must_be_mounted: true } }
jobs: { prod: { datasources: [docs], destinations: [store], retention: { keep_last: 1 } } }
`,
      { mode: 0o600 },
    );
    const { code, stderr } = await dguard(folder, '-c', 'mounted.yaml', 'prune');
    expect(code).toBe(1);
    expect(stderr).toMatch(/mount/);
    expect(readdirSync(join(folder, 'store/prod/docs'))).toHaveLength(1);
  });
});

describe('accept, pin and unpin', () => {
  it('judge a backup after the fact', async () => {
    const first = await backup();
    for (const name of ['b', 'c']) rmSync(join(folder, 'source', name));
    const doubted = await dguard(folder, 'backup', 'prod');
    expect(doubted).toMatchObject({ code: 3, stdout: expect.stringMatching(/SUSPECT.*dguard accept/s) });
    // Who reads stderr alone learns it too.
    expect(doubted.stderr).toMatch(/^warning: prod\/docs: suspect, .*% .*dguard accept full-/m);
    expect((await dguard(folder, 'status')).stdout).toMatch(/is suspect \(why: dguard show .*dguard accept/);
    const { document } = await json('list');
    const suspect = document.backups[0];
    expect((await dguard(folder, 'show', suspect.id)).stdout).toMatch(/^ {2}SUSPECT: .*%/m);
    expect(suspect).toMatchObject({ status: 'suspect', computed: { good: false, accepted: false } });
    expect((await dguard(folder, 'accept', first)).code).toBe(2);
    expect((await dguard(folder, 'accept', suspect.id)).code).toBe(0);
    expect((await dguard(folder, 'pin', first)).code).toBe(0);
    expect((await dguard(folder, 'show', first)).stdout).toMatch(/full, completed, pinned$/m);
    const after = (await json('list')).document.backups;
    expect(after.map(({ computed }: { computed: object }) => computed)).toMatchObject([
      { good: true, accepted: true, pinned: false },
      { good: true, pinned: true },
    ]);
    expect((await json('prune')).document.groups[0].removed).toEqual([]);
    expect((await dguard(folder, 'unpin', first)).code).toBe(0);
    expect((await json('prune')).document.groups[0].removed).toEqual([first]);
    expect((await dguard(folder, 'pin', 'full-2020-01-01T00-00-00Z-aaaaaaaa')).code).toBe(2);
  });
});

describe('cat', () => {
  it('of a file that needs many writes to a pipe says nothing on stderr', async () => {
    // Cut into some forty blocks, and as many writes: Node warns of the eleventh listener.
    const bytes = randomBytes(16 * 1024 * 1024).toString('hex');
    writeFileSync(join(folder, 'source/large'), bytes);
    const { code, stdout, stderr } = await dguard(folder, 'cat', await backup(), 'large');
    expect({ code, stderr, isWhole: stdout === bytes }).toEqual({ code: 0, stderr: '', isWhole: true });
  });
});

describe('status', () => {
  it('tells age, proof, trend and what is missing, and fails with 9 where it is stale', async () => {
    expect(await dguard(folder, 'status', '--max-age', '1h')).toMatchObject({ code: 9 });
    const id = await backup();
    const { document, code } = await json('status', '--max-age', '1h');
    expect(code).toBe(0);
    expect(document.rows).toMatchObject([
      {
        job: 'prod',
        datasource: 'docs',
        destination: 'store',
        state: 'ok',
        last_good: { id },
        last_proof: null,
      },
    ]);
    await dguard(folder, 'verify', 'prod');
    expect((await json('status')).document.rows[0].last_proof).toMatchObject({ id, level: 'content' });
    const metrics = (await dguard(folder, 'status', '--prometheus')).stdout;
    expect(metrics).toMatch(
      /^dguard_last_good_timestamp_seconds\{job="prod",datasource="docs",destination="store"\} \d+/m,
    );
    expect((await dguard(folder, 'status', '--max-age', 'soon')).code).toBe(2);
    expect((await dguard(folder, 'status', 'nosuch')).stderr).toMatch(/^error: status nosuch: /);
  });

  it('has rows for the databases of a datasource with several, and none for the datasource', async () => {
    writeFileSync(
      join(folder, 'backup.yaml'),
      `version: 1
datasources: { shop: { type: mysql, host: 127.0.0.1, port: 1, username: u, database: [shop, blog] } }
destinations: { store: { type: local, path: ./store } }
jobs: { prod: { datasources: [shop], destinations: [store] } }
`,
      { mode: 0o600 },
    );
    mkdirSync(join(folder, 'store'));
    const { document, code } = await json('status', '--max-age', '1h');
    expect(code).toBe(9);
    expect(document.rows.map((row: { datasource: string }) => row.datasource)).toEqual([
      'shop.shop',
      'shop.blog',
    ]);
  });

  it('does not call a destination that holds nothing a schedule that did not run', async () => {
    await backup();
    renameSync(join(folder, 'store'), join(folder, 'elsewhere'));
    const stale = await dguard(folder, 'status', '--max-age', '26h');
    expect(stale.code).toBe(9);
    expect(stale.stderr).toMatch(/next: store holds nothing at all: .*must_be_mounted/);
    expect(await dguard(folder, 'list')).toMatchObject({ code: 0, stderr: 'no backups at store\n' });
  });

  it('says once that a destination is away, for however many sources, and so does backup', async () => {
    writeFileSync(
      join(folder, 'away.yaml'),
      `version: 1
datasources: { docs: { type: files, source_path: ./source }, more: { type: files, source_path: ./source/a } }
destinations: { store: { type: local, path: ./store, must_be_mounted: true } }
jobs: { prod: { datasources: [docs, more], destinations: [store] } }
`,
      { mode: 0o600 },
    );
    for (const args of [['status'], ['backup', 'prod']]) {
      const { code, stderr } = await dguard(folder, '-c', 'away.yaml', ...args);
      expect(code).toBe(1);
      expect(stderr.match(/is not mounted/g), stderr).toHaveLength(1);
    }
  });
});

describe('delete --yes', () => {
  it('says that a backup was pinned, and that no good one is left', async () => {
    const pinned = await backup();
    const newest = await backup();
    await dguard(folder, 'pin', pinned);
    const first = await dguard(folder, 'delete', pinned, '--yes');
    expect(first).toMatchObject({ code: 0, stdout: expect.stringContaining(`deleted ${pinned}`) });
    expect(first.stderr).toMatch(/it is pinned/);
    expect(first.stderr).not.toMatch(/no good backup/);
    const last = await dguard(folder, 'delete', newest, '--yes');
    expect(last.code).toBe(0);
    expect(last.stderr).toMatch(/no good backup of prod\/docs is left/);
    expect(last.stderr).not.toMatch(/pinned/);
  });
});
