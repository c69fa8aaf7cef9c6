import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Driver from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DGUARD, demoFolder, dguard } from './support.ts';

interface Listed {
  id: string;
  computed: { folder: string; state: string; good: boolean };
}

async function listed(cwd: string, ...args: string[]): Promise<Listed[]> {
  const { stdout } = await dguard(cwd, 'list', '--from', './backups', '--json', ...args);
  return (JSON.parse(stdout) as { backups: Listed[] }).backups;
}

describe('the demo job, as a user runs it', () => {
  const cwd = demoFolder();
  const folders: string[] = [];
  beforeAll(async () => {
    const run = await dguard(cwd, 'backup', 'demo', '-c', 'backup.example.yaml', '--json');
    expect(run.code, run.stderr).toBe(0);
    const { status, backups } = JSON.parse(run.stdout) as { status: string; backups: { status: string }[] };
    expect(status).toBe('ok');
    expect(backups.map((backup) => backup.status)).toEqual(['completed', 'completed']);
    for (const { computed } of await listed(cwd)) folders.push(join(cwd, 'backups', computed.folder));
  });
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));

  it('its artifacts open with ordinary tools alone', () => {
    for (const folder of folders)
      execFileSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: folder, stdio: 'pipe' });
    const files = folders.find((folder) => existsSync(join(folder, 'files.tar.zst')))!;
    const database = folders.find((folder) => existsSync(join(folder, 'database.db.zst')))!;
    mkdirSync(join(cwd, 'by-hand'));
    execFileSync('sh', ['-c', `zstd -dc '${files}/files.tar.zst' | tar -xpf - -C by-hand`], { cwd });
    execFileSync('diff', ['-r', '--no-dereference', 'fixtures/demo/files', 'by-hand'], { cwd });
    execFileSync('sh', ['-c', `zstd -dc '${database}/database.db.zst' > by-hand.db`], { cwd });
    const dump = (path: string) => execFileSync('sqlite3', [path, '.dump'], { cwd }).toString();
    expect(dump('by-hand.db')).toBe(dump('fixtures/demo/shop.db'));
  });

  it('restores exactly, without a configuration, from the destination alone', async () => {
    const run = await dguard(cwd, 'restore', 'demo', '--from', './backups', '--to-path', './restored');
    expect(run.code, run.stderr).toBe(0);
    execFileSync('diff', ['-r', '--no-dereference', 'fixtures/demo/files', 'restored/demo-files'], { cwd });
    const dump = (path: string) => execFileSync('sqlite3', [path, '.dump'], { cwd }).toString();
    expect(dump('restored/demo-db.db')).toBe(dump('fixtures/demo/shop.db'));
  });

  it.each(['exists', 'checksum', 'content', 'restore'])('verify --level %s passes', async (level) => {
    const run = await dguard(cwd, 'verify', 'demo', '--from', './backups', '--level', level, '--json');
    expect(run.code, run.stdout).toBe(0);
    const { checks } = JSON.parse(run.stdout) as { checks: { overall: string }[] };
    expect(checks.map(({ overall }) => overall)).toEqual(['pass', 'pass']);
  });

  it('one flipped, missing or extra byte in any object: verify exits 4, restore refuses and leaves no target', async () => {
    for (const folder of folders) {
      const names = readdirSync(folder).filter((name) => !/^(lease|verified)-/.test(name));
      expect(names.length).toBeGreaterThanOrEqual(4);
      for (const name of names) {
        for (const damage of ['flip', 'cut', 'extra'] as const) {
          const path = join(folder, name);
          const intact = readFileSync(path);
          if (damage === 'cut') writeFileSync(path, intact.subarray(0, -1));
          else if (damage === 'extra') writeFileSync(path, Buffer.concat([intact, Buffer.from('x')]));
          else flipByte(path, intact);
          const id = folder.split('/').at(-1)!;
          const run = await dguard(cwd, 'verify', id, '--from', './backups');
          expect(run.code, `${name} ${damage}: ${run.stdout}${run.stderr}`).toBe(4);
          if (name !== 'SHA256SUMS') {
            const restore = await dguard(cwd, 'restore', id, '--from', './backups', '--to-path', './never');
            expect(restore.code, `${name} ${damage}: ${restore.stderr}`).toBe(4);
            expect(existsSync(join(cwd, 'never'))).toBe(false);
          }
          writeFileSync(path, intact);
          for (const result of readdirSync(folder).filter((n) => n.startsWith('verified-')))
            rmSync(join(folder, result));
        }
      }
    }
  });

  it('a foreign object is a warning, and delete leaves it alone', async () => {
    const copy = join(cwd, 'copy');
    cpSync(join(cwd, 'backups'), copy, { recursive: true });
    const [first] = await listed(cwd);
    const folder = join(copy, first!.computed.folder);
    writeFileSync(join(folder, 'holiday.jpg'), 'mine');
    const verify = await dguard(cwd, 'verify', first!.id, '--from', './copy');
    expect(verify.code).toBe(0);
    expect(verify.stderr).toContain('holiday.jpg');
    const remove = await dguard(cwd, 'delete', first!.id, '--from', './copy', '--yes');
    expect(remove.code, remove.stderr).toBe(0);
    expect(readdirSync(folder)).toEqual(['holiday.jpg']);
  });
});

describe('bad input', () => {
  const cwd = demoFolder();
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));
  const config = (text: string): string => {
    const path = join(cwd, 'bad.yaml');
    writeFileSync(path, text);
    chmodSync(path, 0o600);
    return path;
  };

  it.each([
    ['an unknown command', ['frobnicate'], 2],
    ['an unknown option', ['list', '--nonsense'], 2],
    ['an unknown job', ['backup', 'nope', '-c', 'backup.example.yaml'], 2],
    ['no job', ['backup', '-c', 'backup.example.yaml'], 2],
    ['a folder that is not there', ['list', '--from', './none'], 2],
    ['a configuration that is not there', ['list', '-c', './none.yaml'], 2],
    ['delete without a terminal or --yes', ['delete', 'x', '--from', './fixtures'], 2],
  ])('%s', async (_, args, code) => {
    const run = await dguard(cwd, ...args);
    expect(run.code, run.stderr).toBe(code);
    expect(run.stderr).toMatch(/error:/);
    expect(run.stderr).not.toMatch(/\n\s+at /);
  });

  it('a source that is missing: exit 1, what and why, and only a failed manifest is listed', async () => {
    const path = config(
      'version: 1\ndatasources: { gone: { type: files, source_path: ./gone } }\n' +
        'destinations: { here: { type: local, path: ./backups } }\njobs: { j: { datasources: [gone], destinations: [here] } }\n',
    );
    const run = await dguard(cwd, 'backup', 'j', '-c', path);
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr).toContain('gone');
    expect(run.stderr).toContain('next:');
  });

  it('a type without an adapter says so', async () => {
    const path = config(
      'version: 1\ndatasources: { f: { type: files, source_path: . } }\n' +
        'destinations: { away: { type: backblaze, bucket_name: bbb, application_key_id: i, application_key: k } }\njobs: { j: { datasources: [f], destinations: [away] } }\n',
    );
    const run = await dguard(cwd, 'backup', 'j', '-c', path);
    expect(run.code, run.stderr).toBe(2);
    expect(run.stderr).toContain('not built into this version yet');
  });

  it('a restore into a folder that is not empty is refused, and the folder stays', async () => {
    await dguard(cwd, 'backup', 'demo', '-c', 'backup.example.yaml');
    mkdirSync(join(cwd, 'full'));
    writeFileSync(join(cwd, 'full/keep'), 'me');
    const run = await dguard(
      cwd,
      'restore',
      'demo',
      '--datasource',
      'demo-files',
      '-c',
      'backup.example.yaml',
      '--to-path',
      './full',
    );
    expect(run.code, run.stderr).toBe(1);
    expect(readdirSync(join(cwd, 'full'))).toEqual(['keep']);
  });
});

describe('a backup of a part', () => {
  it('never replaces a whole target: its tables alone', async () => {
    const cwd = demoFolder();
    try {
      const path = join(cwd, 'part.yaml');
      writeFileSync(
        path,
        'version: 1\ndatasources: { db: { type: sqlite, file_path: ./fixtures/demo/shop.db } }\n' +
          'destinations: { here: { type: local, path: ./backups } }\n' +
          'jobs: { j: { datasources: [db], destinations: [here], options: { exclude_tables: [orders, order_items] } } }\n',
        { mode: 0o600 },
      );
      expect((await dguard(cwd, 'backup', 'j', '-c', path)).code).toBe(0);
      const shop = join(cwd, 'fixtures/demo/shop.db');
      const rows = () => {
        const database = new Driver(shop, { readonly: true });
        const count = (table: string) => database.prepare(`SELECT count(*) FROM ${table}`).pluck().get();
        const counts = ['customers', 'orders', 'order_items'].map(count);
        database.close();
        return counts;
      };
      const before = rows();
      const writer = new Driver(shop);
      writer.pragma('foreign_keys = OFF');
      writer.exec('DELETE FROM customers; DELETE FROM order_items');
      writer.close();
      const run = await dguard(cwd, 'restore', 'j', '-c', path, '--overwrite');
      expect(run.code, run.stderr).toBe(0);
      expect(rows()).toEqual([before[0], before[1], 0]);
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  });
});

describe('a backup that is stopped', () => {
  it.each([
    ['SIGKILL', null],
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s: nothing half is listed as good', async (signal, code) => {
    const cwd = demoFolder();
    try {
      mkdirSync(join(cwd, 'big'));
      const bytes = Buffer.alloc(8 * 1024 * 1024);
      for (let i = 0; i < 24; i++) {
        for (let at = 0; at < bytes.length; at += 4)
          bytes.writeUInt32LE(Math.imul(at + i, 2654435761) >>> 0, at);
        writeFileSync(join(cwd, 'big', `f${i}`), bytes);
      }
      const path = join(cwd, 'big.yaml');
      writeFileSync(
        path,
        'version: 1\ndatasources: { big: { type: files, source_path: ./big } }\n' +
          'destinations: { here: { type: local, path: ./backups } }\n' +
          'jobs: { j: { datasources: [big], destinations: [here], options: { compression: brotli, compression_level: 9 } } }\n',
        { mode: 0o600 },
      );
      const child = spawn(process.execPath, [DGUARD, 'backup', 'j', '-c', path], { cwd, stdio: 'ignore' });
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
      while (!existsSync(join(cwd, 'backups/j/big'))) await new Promise((resolve) => setTimeout(resolve, 20));
      await new Promise((resolve) => setTimeout(resolve, 300));
      child.kill(signal);
      expect(await ended).toBe(code);
      const after = await listed(cwd);
      expect(after.filter(({ computed }) => computed.good)).toEqual([]);
      expect(after.every(({ computed }) => computed.state === 'failed')).toBe(true);
    } finally {
      rmSync(cwd, { recursive: true, force: true });
    }
  });
});

/** Flips a byte in the middle: of a zstd frame one that changes what it holds, as some bits are padding. */
function flipByte(path: string, intact: Buffer): void {
  const content = () => execFileSync('zstd', ['-dcq', path], { stdio: ['ignore', 'pipe', 'ignore'] });
  const whole = path.endsWith('.zst') ? content() : undefined;
  for (let at = intact.length >> 1; ; at++) {
    const bytes = Buffer.from(intact);
    bytes[at]! ^= 1;
    writeFileSync(path, bytes);
    if (whole === undefined) return;
    try {
      if (!content().equals(whole)) return;
    } catch {
      return;
    }
  }
}
