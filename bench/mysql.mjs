import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCommand } from '../test/services/child.mjs';
import { mysqlPrograms, startMysql } from '../test/services/mysql.mjs';
import { emptyFolder, measure, prepare, sizeBelow } from './measure.mjs';
import { makeMysql } from './mysql-data.mjs';

const DGUARD = fileURLToPath(new URL('../bin/dguard', import.meta.url));
const SERVER = 'mariadb-10.11';
const DATABASE = 'bench';

/**
 * Dumps of MariaDB, taking turns: dguard with one and with several connections, as JSONL, and the pipeline of an
 * administrator, `mariadb-dump | zstd -3 -T2`. Then their restores into an empty database.
 */
export async function runMysql({ folder, scale, rounds, say }) {
  if (mysqlPrograms(SERVER) === undefined) return leaveOut(say, `${SERVER} is not there: npm run services`);
  if (!findCommand('zstd') || !existsSync(DGUARD)) return leaveOut(say, 'it needs zstd and a build');
  const work = emptyFolder(join(folder, 'work'));
  const script = join(work, 'data.sql');
  makeMysql(script, scale);
  const server = await startMysql(SERVER, {
    settings: {
      'innodb-buffer-pool-size': '1536M',
      'innodb-log-file-size': '512M',
      'event-scheduler': 'OFF',
    },
  });
  try {
    const options = join(work, 'client.cnf');
    const password = server.password.replace(/[\\"]/g, '\\$&');
    const where = `[client]\nhost=127.0.0.1\nport=${server.port}\nprotocol=tcp\nuser=${server.user}\npassword="${password}"\n`;
    writeFileSync(options, where, { mode: 0o600 });
    const client = (name) => `${join(server.bin, name)} --defaults-file=${options}`;
    prepare(shell(`echo 'CREATE DATABASE ${DATABASE}' | ${client('mariadb')}`));
    prepare(shell(`${client('mariadb')} ${DATABASE} < ${script}`));
    rmSync(script);
    const field = [
      ...[1, 2, 4].map((jobs) => dguard(work, server, { parallel_jobs: jobs })),
      dguard(work, server, { parallel_jobs: 2, format: 'jsonl' }),
      pipeline(work, client),
    ];
    const results = [];
    for (let round = 1; round <= rounds; round++) {
      const turned = [...field.slice(round % field.length), ...field.slice(0, round % field.length)];
      for (const operation of ['full', 'load']) {
        for (const contestant of turned) {
          if (operation === 'full') contestant.reset();
          prepare(shell(`echo 'DROP DATABASE IF EXISTS restored' | ${client('mariadb')}`));
          const cost = measure(contestant[operation], join(work, 'scratch'));
          if (operation === 'full') cost.storedBytes = sizeBelow(contestant.store);
          results.push({ job: `mysql ${operation}`, contestant: contestant.name, round, cost });
          say(`mysql ${operation} ${round}/${rounds} ${contestant.name}: ${cost.wallS.toFixed(2)} s`);
        }
      }
    }
    return results;
  } finally {
    await server.stop();
  }
}

function leaveOut(say, why) {
  say(`mysql is left out: ${why}`);
  return [];
}

function dguard(folder, server, options) {
  const name = `dguard ${options.format ?? 'native'}, ${options.parallel_jobs} connection(s)`;
  const home = join(folder, name.replace(/\W+/g, '-'));
  const store = join(home, 'store');
  const config = join(home, 'backup.yaml');
  const call = (...args) => ({ command: [DGUARD, ...args, '-c', config, '--no-progress', '-q'], cwd: home });
  return {
    name,
    store,
    reset() {
      emptyFolder(home);
      mkdirSync(store);
      const document = {
        version: 1,
        defaults: { temp_dir: home },
        datasources: {
          db: {
            type: 'mysql',
            host: '127.0.0.1',
            port: server.port,
            username: server.user,
            password: server.password.replaceAll('$', '$$$$'),
            database: DATABASE,
            client_path: server.bin,
          },
        },
        destinations: { store: { type: 'local', path: store } },
        jobs: {
          bench: {
            datasources: ['db'],
            destinations: ['store'],
            options: { compression: 'zstd', compression_level: 3, ...options },
          },
        },
      };
      writeFileSync(config, JSON.stringify(document), { mode: 0o600 });
    },
    full: call('backup', 'bench'),
    load: call('restore', 'bench', '--to-database', 'restored', '--yes'),
  };
}

/** No check, no count, no index: the dump tool's own pace. */
function pipeline(folder, client) {
  const store = join(folder, 'pipeline');
  const file = join(store, 'dump.sql.zst');
  const dump = '--single-transaction --quick --routines --events --triggers --hex-blob';
  return {
    name: 'mariadb-dump | zstd -3 -T2',
    store,
    reset: () => emptyFolder(store),
    full: shell(`${client('mariadb-dump')} ${dump} ${DATABASE} | zstd -q -3 -T2 -o ${file}`),
    load: shell(
      `echo 'CREATE DATABASE restored' | ${client('mariadb')}; zstd -q -dc ${file} | ${client('mariadb')} restored`,
    ),
  };
}

function shell(script) {
  return { command: ['bash', '-c', `set -e -o pipefail; ${script}`] };
}
