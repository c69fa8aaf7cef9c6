import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { removeFolder } from '../engines/files/support.ts';
import { DGUARD } from './support.ts';

const home = mkdtempSync(join(tmpdir(), 'dguard-ulimit-'));
afterAll(() => removeFolder(home));

/** More than Node needs, and less than two memories of WebAssembly do, of which V8 reserves 10 GiB for each. */
const LIMIT_KB = 12_000_000;

it.runIf(process.platform === 'linux')(
  'a backup within a limited address space (ulimit -v) is the same backup',
  () => {
    mkdirSync(join(home, 'source'));
    const lines = Array.from({ length: 400_000 }, (_, i) => `${i} ${(i * 2654435761) % 4294967296}`);
    writeFileSync(join(home, 'source/large'), lines.join('\n'));
    for (let i = 0; i < 50; i++)
      writeFileSync(join(home, `source/${i}`), lines.slice(i * 70, i * 90).join('\n'));
    writeFileSync(
      join(home, 'backup.yaml'),
      JSON.stringify({
        version: 1,
        datasources: { data: { type: 'files', source_path: join(home, 'source') } },
        destinations: { store: { type: 'local', path: join(home, 'store') } },
        jobs: { job: { datasources: ['data'], destinations: ['store'] } },
      }),
      { mode: 0o600 },
    );
    for (const limit of ['unlimited', String(LIMIT_KB)]) {
      const script = `ulimit -v ${limit}; for what in backup verify; do "$0" "$1" $what job -c "$2" || exit; done`;
      execFileSync('bash', ['-c', script, process.execPath, DGUARD, join(home, 'backup.yaml')], {
        stdio: 'pipe',
      });
    }
    const backups = readdirSync(join(home, 'store/job/data'));
    const digests = backups.map((name) => {
      const manifest = JSON.parse(readFileSync(join(home, 'store/job/data', name, 'manifest.json'), 'utf8'));
      return manifest.artifacts.map(({ sha256 }: { sha256: string }) => sha256);
    });
    expect(digests).toHaveLength(2);
    expect(digests[0]).toEqual(digests[1]);
    expect(digests[0].length).toBeGreaterThan(0);
    expect(digests[0][0]).toMatch(/^[0-9a-f]{64}$/);
  },
);
