import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Driver from 'better-sqlite3';
import { beforeEach, describe, expect, test } from 'vitest';
import { sqliteEngine } from '../../../src/engines/sqlite/engine.ts';
import type { DguardError } from '../../../src/errors.ts';
import { backUp, dumpRequest, type MemoryBackup } from './support.ts';
import { bench, source } from './support-bench.ts';

const ROWS = 8_000;

let tools: string;
beforeEach(() => {
  tools = join(bench.folder, 'tools');
  fs.mkdirSync(tools);
  const database = new Driver(source);
  database.exec(`
    CREATE TABLE item (id INTEGER PRIMARY KEY, version INTEGER, text TEXT);
    CREATE INDEX item_version ON item (version);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
      INSERT INTO item SELECT i, 1, hex(randomblob(250)) FROM n;
  `);
  database.close();
});

/** A source whose `cp` is this script: `$2` is the database, `$3` the copy. */
function withCp(script: string) {
  fs.writeFileSync(join(tools, 'cp'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return { ...bench.source(source), env: { PATH: `${tools}:/usr/bin:/bin` } };
}

const member = (backup: MemoryBackup) => backup.members.get('database.db')!;

/** What the copy holds, asked of SQLite's own shell. */
function ask(backup: MemoryBackup, sql: string): string {
  const path = join(bench.folder, 'asked.db');
  fs.writeFileSync(path, member(backup));
  return execFileSync('sqlite3', [path, sql], { encoding: 'utf8' }).trim();
}

async function appears(path: string): Promise<void> {
  while (!fs.existsSync(path)) await sleep(5);
}

describe('the copy of a database with a rollback journal', () => {
  test('is the file, byte for byte, without what lies behind its last page', async () => {
    const bytes = fs.readFileSync(source);
    expect(member(await backUp(bench.source(source))).equals(bytes)).toBe(true);
    fs.appendFileSync(source, Buffer.alloc(3 * 4096, 'x'));
    expect(member(await backUp(bench.source(source))).equals(bytes)).toBe(true);
  });

  test.each([
    ['there is none', undefined],
    ['it fails half way', 'head -c 100000 "$2" > "$3"; exit 1'],
    ['it says nothing of a full disk', 'head -c 100000 "$2" > "$3"'],
  ])('is made by the backup API where cp cannot make it: %s', async (_, script) => {
    const before = execFileSync('sqlite3', [source, '.dump'], { encoding: 'utf8', maxBuffer: 1 << 28 });
    const backup = await backUp(
      script === undefined ? { ...bench.source(source), env: { PATH: tools } } : withCp(script),
    );
    fs.writeFileSync(join(bench.folder, 'copy.db'), member(backup));
    expect(
      execFileSync('sqlite3', [join(bench.folder, 'copy.db'), '.dump'], {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      }),
    ).toBe(before);
  });

  test('a writer waits for it, and is neither in it nor lost', async () => {
    const dumping = backUp(withCp('touch "$3.begun"; sleep 0.5; exec /bin/cp "$@"'));
    const temp = join(bench.folder, 'temp');
    while (!fs.readdirSync(temp).some((name) => fs.existsSync(join(temp, name, 'database.db.begun'))))
      await sleep(5);
    const locked = () => execFileSync('sqlite3', [source, 'UPDATE item SET version = 2'], { stdio: 'pipe' });
    expect(locked).toThrow('database is locked');
    expect(ask(await dumping, 'SELECT count(*) FROM item WHERE version = 1')).toBe(String(ROWS));
    locked();
  });

  test('a lock that something in this process dropped: the torn copy is taken again', async () => {
    const half = fs.statSync(source).size >> 1;
    const paused = join(bench.folder, 'paused');
    const go = join(bench.folder, 'go');
    const dumping = backUp(
      withCp(`
        if [ -e "${paused}" ]; then exec /bin/cp "$@"; fi
        head -c ${half} "$2" > "$3"; touch "${paused}"
        while [ ! -e "${go}" ]; do sleep 0.01; done
        tail -c +${half + 1} "$2" >> "$3"`),
    );
    await appears(paused);
    fs.closeSync(fs.openSync(source, 'r'));
    execFileSync('sqlite3', [source, 'UPDATE item SET version = 2, text = hex(randomblob(250))']);
    fs.writeFileSync(go, '');
    const backup = await dumping;
    expect(ask(backup, 'PRAGMA integrity_check; SELECT DISTINCT version FROM item')).toBe('ok\n2');
    expect(member(backup).equals(fs.readFileSync(source))).toBe(true);
  });

  test('a file that takes its place once it is open is not copied under a lock that is none of its own', async () => {
    const other = join(bench.folder, 'other.db');
    fs.copyFileSync(source, other);
    execFileSync('sqlite3', [other, 'UPDATE item SET version = 2']);
    const replaced = {
      ...withCp('exec /bin/cp "$@"'),
      // Asked for when the transaction begins: the file is open, and not yet locked.
      now: () => {
        if (fs.existsSync(other)) fs.renameSync(other, source);
        return new Date();
      },
    };
    const dumped = await backUp(replaced);
    expect(fs.existsSync(other)).toBe(false);
    expect(ask(dumped, 'PRAGMA integrity_check; SELECT DISTINCT version FROM item')).toBe('ok\n1');
  });

  test('a file that changes whenever it is copied is no backup', async () => {
    const tries = join(bench.folder, 'tries');
    const touching = withCp(`/bin/cp "$@" && echo >> "${tries}"; sleep 0.02; touch "$2"`);
    const error = await sqliteEngine.dump(touching, dumpRequest()).then(
      () => expect.unreachable('it did not fail'),
      (thrown: DguardError) => thrown,
    );
    expect(error).toMatchObject({ code: 'source_failed', subject: source });
    expect(error.message).toContain('app.db was written to while it was copied');
    expect(fs.readFileSync(tries, 'utf8')).toBe('\n\n\n');
    expect(fs.readdirSync(join(bench.folder, 'temp'))).toEqual([]);
  });
});
