import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCommand } from '../test/services/child.mjs';
import { kopia } from '../test/services/kopia.mjs';
import { restic } from '../test/services/restic.mjs';
import { emptyFolder, prepare } from './measure.mjs';

const DGUARD = fileURLToPath(new URL('../bin/dguard', import.meta.url));
const PASSWORD = 'benchmark';

/**
 * One way to back up. Each works in its own folder and keeps its backups in `store`.
 * @typedef {object} Contestant
 * @property {string} name
 * @property {string} store
 * @property {string} [missing] why it cannot take part
 * @property {(source: string) => void} reset an empty store, not measured
 * @property {(source: string) => import('./measure.mjs').Command} full
 * @property {(source: string, target: string) => import('./measure.mjs').Command} [restore]
 * @property {(source: string) => import('./measure.mjs').Command} [verify] reads and checks all that is stored
 */

/**
 * Who takes part in a workload.
 * @param {'mix' | 'many' | 'sqlite'} workload
 * @param {string} folder
 * @returns {Contestant[]}
 */
export function contestants(workload, folder) {
  if (workload === 'sqlite') {
    return [dguard(folder, 3, 'sqlite'), dguard(folder, 1, 'sqlite'), sqliteBackup(folder)];
  }
  return [
    dguard(folder, 3, 'files'),
    dguard(folder, 1, 'files'),
    tarZstd(folder),
    resticPeer(folder),
    kopiaPeer(folder),
  ];
}

/** dguard itself, with zstd of the given level. `memory.mjs` uses it alone. */
export function dguard(folder, level, type) {
  const home = join(folder, `dguard-${level}`);
  const store = join(home, 'store');
  const config = join(home, 'backup.yaml');
  const call = (...args) => ({ command: [DGUARD, ...args], cwd: home });
  return {
    name: `dguard zstd ${level}`,
    store,
    missing: dguardMissing(),
    reset(source) {
      emptyFolder(home);
      mkdirSync(store);
      writeFileSync(config, dguardConfig({ store, level, type, source, tempDir: home }), { mode: 0o600 });
    },
    full: () => call('backup', 'bench', '-c', config, '--no-progress', '-q'),
    restore: (_source, target) =>
      call('restore', 'bench', '-c', config, '--to-path', target, '--no-progress', '-q', '--yes'),
    verify: () => call('verify', 'bench', '-c', config, '--level', 'content', '--no-progress', '-q'),
  };
}

function dguardConfig({ store, level, type, source, tempDir }) {
  const path = type === 'files' ? 'source_path' : 'file_path';
  // JSON is YAML, and quotes every path as it should be quoted.
  return `${JSON.stringify(
    {
      version: 1,
      defaults: { temp_dir: tempDir },
      datasources: { data: { type, [path]: source } },
      destinations: { store: { type: 'local', path: store } },
      jobs: {
        bench: {
          datasources: ['data'],
          destinations: ['store'],
          options: { compression: 'zstd', compression_level: level },
        },
      },
    },
    null,
    2,
  )}\n`;
}

function dguardMissing() {
  if (!existsSync(DGUARD)) return 'bin/dguard is not there';
  try {
    prepare({ command: [DGUARD, '--version'] });
    return undefined;
  } catch (error) {
    return `bin/dguard does not run: ${error.message.split('\n')[0]}`;
  }
}

/** What an administrator without a backup tool does: one compressed file, no check, no index. */
function tarZstd(folder) {
  const store = join(folder, 'tar');
  const file = join(store, 'backup.tar.zst');
  return {
    name: 'tar | zstd -1 -T2',
    store,
    missing: missingCommands('bash', 'tar', 'zstd'),
    reset: () => emptyFolder(store),
    full: (source) => shell('tar -C "$1" -cf - . | zstd -q -1 -T2 -o "$2"', source, file),
    restore: (_source, target) =>
      shell('mkdir -p "$2" && zstd -q -dc "$1" | tar -C "$2" -xpf -', file, target),
  };
}

function sqliteBackup(folder) {
  const store = join(folder, 'sqlite-backup');
  const copy = join(store, 'copy.db');
  return {
    name: '.backup, zstd -1 -T2',
    store,
    missing: missingCommands('bash', 'sqlite3', 'zstd'),
    reset: () => emptyFolder(store),
    full: (source) => shell('sqlite3 "$1" ".backup \'$2\'" && zstd -q -1 -T2 --rm "$2"', source, copy),
  };
}

function resticPeer(folder) {
  const program = restic.program() ?? findCommand('restic');
  const home = join(folder, 'restic');
  const store = join(home, 'store');
  const env = { RESTIC_REPOSITORY: store, RESTIC_PASSWORD: PASSWORD, RESTIC_CACHE_DIR: join(home, 'cache') };
  const call = (...args) => ({ command: [program, ...args], env });
  return {
    name: 'restic',
    store,
    missing: program ? undefined : 'not installed: npm run services -- bench',
    reset() {
      emptyFolder(home);
      prepare(call('init', '-q'));
    },
    full: (source) => call('backup', '-q', source),
    restore: (_source, target) => call('restore', 'latest', '-q', '--target', target),
    verify: () => call('check', '-q', '--read-data'),
  };
}

function kopiaPeer(folder) {
  const program = kopia.program() ?? findCommand('kopia');
  const home = join(folder, 'kopia');
  const store = join(home, 'store');
  const env = {
    KOPIA_PASSWORD: PASSWORD,
    KOPIA_CONFIG_PATH: join(home, 'repository.config'),
    KOPIA_LOG_DIR: join(home, 'log'),
    KOPIA_CACHE_DIRECTORY: join(home, 'cache'),
    KOPIA_CHECK_FOR_UPDATES: 'false',
  };
  const call = (...args) => ({ command: [program, ...args], env });
  return {
    name: 'kopia zstd-fastest',
    store,
    missing: program ? undefined : 'not installed: npm run services -- bench',
    reset() {
      emptyFolder(home);
      mkdirSync(store);
      prepare(call('repository', 'create', 'filesystem', '--path', store));
      prepare(call('policy', 'set', '--global', '--compression=zstd-fastest'));
    },
    full: (source) => call('snapshot', 'create', '--no-progress', source),
    restore(source, target) {
      const snapshots = JSON.parse(prepare(call('snapshot', 'list', '--json', source)));
      return call('restore', '--no-progress', snapshots.at(-1).rootEntry.obj, target);
    },
    verify: () => call('snapshot', 'verify', '--no-progress', '--verify-files-percent=100'),
  };
}

function shell(script, ...args) {
  return { command: ['bash', '-c', `set -e -o pipefail; ${script}`, 'bench', ...args] };
}

function missingCommands(...names) {
  const missing = names.filter((name) => !findCommand(name));
  return missing.length > 0 ? `not installed: ${missing.join(', ')}` : undefined;
}
