/** Restores or undoes as a process of its own, to be killed: node sqlite-child.mjs restore|merge|undo DATABASE BACKUP. */
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { sqliteEngine } from '../../dist/engines/sqlite/engine.js';

const [, , action, path, backup] = process.argv;
const request = {
  source: { name: 'app', options: { file_path: path } },
  signal: new AbortController().signal,
  now: () => new Date(),
  host: { name: 'host', bootId: '', pid: process.pid, privileged: false },
  tempDir: tmpdir(),
  warn: () => {},
  only: action === 'merge' ? ['a'] : [],
  overwrite: true,
  deleteExtra: false,
  scratch: false,
  dryRun: false,
  privileged: false,
  backupId: 'full-2026-01-02T03-04-05Z-abcd2345',
  onProgress: () => {},
};
const bytes = readFileSync(backup);
const entries = [
  {
    type: 'stream',
    kind: 'stream',
    path: 'database.db',
    size: bytes.length,
    media: '',
    format: 'sqlite3',
    slices: [],
  },
  { type: 'table', kind: 'table', path: 'database.db/a', member: 'database.db', table: 'a' },
];
const content = {
  facts: { consistency: 'snapshot' },
  whole: true,
  sources: [],
  async *entries() {
    yield* entries;
  },
  entry: async (name) => entries.find((entry) => entry.path === name),
  async *read() {
    yield bytes;
  },
};
try {
  if (action === 'undo') await sqliteEngine.swaps.undo(request);
  else await sqliteEngine.restore(content, request);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
