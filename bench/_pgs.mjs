import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findCommand } from '../test/services/child.mjs';
import { postgresPrograms, startPostgres } from '../test/services/postgres.mjs';
import { restic } from '../test/services/restic.mjs';
import { emptyFolder, measure, prepare, sizeBelow } from './measure.mjs';
import { textSource } from './text.mjs';

const DGUARD = fileURLToPath(new URL('../bin/dguard', import.meta.url));
const PGBENCH_SCALE = 50;
const DOCUMENTS_BYTES = 300e6;
const DOCUMENT_BYTES = 3000;
const DATABASE = 'bench';

/**
 * A database of pgbench (scale 50) and 300 MB of documents, dumped and restored by dguard and by what people use for it.
 * The cost is that of the clients: the server's own is in the wall time alone.
 */
export async function runPostgres({ folder, scale, rounds, say }) {
  const major = [18, 17, 15].find((one) => postgresPrograms(one) !== undefined);
  if (major === undefined) {
    say('postgres: left out: npm run services');
    return [];
  }
  const server = await startPostgres(major, {
    settings: {
      shared_buffers: '512MB',
      max_wal_size: '8GB',
      autovacuum: 'off',
      maintenance_work_mem: '256MB',
    },
  });
  const home = emptyFolder(join(folder, 'work', 'postgres'));
  try {
    const passfile = join(home, 'passfile');
    writeFileSync(passfile, `*:*:*:*:${server.password.replace(/[\\:]/g, '\\$&')}\n`, { mode: 0o600 });
    const env = {
      PGPASSFILE: passfile,
      PGHOST: server.host,
      PGPORT: String(server.port),
      PGUSER: server.user,
    };
    const tools = { server, env, tool: (name) => join(server.bin, name), home };
    const startedMs = performance.now();
    await makeDatabase(tools, scale);
    say(
      `postgres: data ready in ${((performance.now() - startedMs) / 1000).toFixed(1)} s, PostgreSQL ${major}`,
    );
    return takeTurns(tools, { folder, rounds, say });
  } finally {
    await server.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

export async function makeDatabase({ env, tool }, scale) {
  psql({ env, tool }, 'postgres', `CREATE DATABASE ${DATABASE}`);
  prepare({
    command: [
      tool('pgbench'),
      '-i',
      '-q',
      '-s',
      String(Math.max(1, Math.round(PGBENCH_SCALE * scale))),
      DATABASE,
    ],
    env,
  });
  psql(
    { env, tool },
    DATABASE,
    'CREATE TABLE documents (id bigint PRIMARY KEY, kind text NOT NULL, body jsonb NOT NULL)',
  );
  const copy = spawn(tool('psql'), ['-X', '-q', '-d', DATABASE, '-c', 'COPY documents FROM STDIN'], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const fill = textSource(7);
  const buffer = Buffer.alloc(DOCUMENT_BYTES);
  for (let id = 0; id * DOCUMENT_BYTES < DOCUMENTS_BYTES * scale; id++) {
    fill(buffer);
    const text = buffer.toString('latin1').replace(/[^\x20-\x7e]/g, ' ');
    const body = JSON.stringify({ id, title: text.slice(0, 40), tags: text.slice(40, 80).split(' '), text });
    if (!copy.stdin.write(`${id}\tarticle\t${body.replaceAll('\\', '\\\\')}\n`))
      await once(copy.stdin, 'drain');
  }
  copy.stdin.end();
  const [status] = await once(copy, 'close');
  if (status !== 0) throw new Error(`documents: psql ended with ${status}`);
  psql({ env, tool }, DATABASE, 'VACUUM ANALYZE; CHECKPOINT');
}

function psql({ env, tool }, database, sql) {
  const statements = sql.split(';').flatMap((statement) => ['-c', statement]);
  prepare({
    command: [tool('psql'), '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', database, ...statements],
    env,
  });
}

function takeTurns(tools, { folder, rounds, say }) {
  const field = contestants(tools);
  const results = [];
  for (let round = 1; round <= rounds; round++) {
    for (const operation of ['full', 'restore']) {
      const shift = (round - 1) % field.length;
      const turned = [...field.slice(shift), ...field.slice(0, shift)];
      for (const one of round % 2 === 1 ? turned : turned.reverse()) {
        if (one.missing || !one[operation]) continue;
        if (operation === 'full') one.reset();
        psql(tools, 'postgres', 'CHECKPOINT');
        const measured = measure(one[operation](), join(folder, 'scratch'));
        const cost = operation === 'full' ? { ...measured, storedBytes: sizeBelow(one.store) } : measured;
        if (operation === 'restore') psql(tools, 'postgres', `DROP DATABASE IF EXISTS restored WITH (FORCE)`);
        results.push({ job: `postgres ${operation}`, contestant: one.name, round, cost });
        say(`postgres ${operation} ${round}/${rounds} ${one.name}: ${cost.wallS.toFixed(2)} s`);
      }
    }
  }
  return results;
}

function contestants(tools) {
  const { env, tool, home } = tools;
  const shell = (script, ...args) => ({
    command: ['bash', '-c', `set -e -o pipefail; ${script}`, 'bench', ...args],
    env,
  });
  const dump = `"${tool('pg_dump')}" -Fc`;
  const stream = (name, script) => {
    const store = join(home, name.replace(/\W+/g, '-'));
    return { name, store, reset: () => emptyFolder(store), full: () => shell(script, join(store, 'backup')) };
  };
  const plain = stream('pg_dump -Fc', `${dump} ${DATABASE} > "$1"`);
  return [
    dguard(tools, 1),
    dguard(tools, 3),
    stream('pg_dump -Z0 | zstd -1 -T2', `${dump} -Z0 ${DATABASE} | zstd -q -1 -T2 -o "$1"`),
    {
      ...plain,
      restore: () =>
        shell(
          `"${tool('createdb')}" restored; "${tool('pg_restore')}" -j2 -d restored "$1"`,
          join(plain.store, 'backup'),
        ),
    },
    resticPeer(tools),
  ];
}

function dguard({ server, home }, level) {
  const own = join(home, `dguard-${level}`);
  const store = join(own, 'store');
  const config = join(own, 'backup.yaml');
  const call = (...args) => ({ command: [DGUARD, ...args, '-c', config, '--no-progress', '-q'], cwd: own });
  return {
    name: `dguard zstd ${level}`,
    store,
    reset() {
      emptyFolder(own);
      mkdirSync(store);
      writeFileSync(join(own, 'password'), `${server.password}\n`, { mode: 0o600 });
      const source = {
        type: 'postgres',
        host: server.host,
        port: server.port,
        username: server.user,
        password_file: join(own, 'password'),
        database: DATABASE,
        client_path: [server.bin],
      };
      const job = {
        datasources: ['data'],
        destinations: ['store'],
        options: { compression: 'zstd', compression_level: level },
      };
      // JSON is YAML, and quotes every path as it should be quoted.
      const document = {
        version: 1,
        defaults: { temp_dir: own },
        datasources: { data: source },
        destinations: { store: { type: 'local', path: store } },
        jobs: { bench: job },
      };
      writeFileSync(config, `${JSON.stringify(document, null, 2)}\n`, { mode: 0o600 });
    },
    full: () => call('backup', 'bench'),
    restore: () => call('restore', 'bench', '--to-database', 'restored', '--yes'),
  };
}

function resticPeer({ env, tool, home }) {
  const program = restic.program() ?? findCommand('restic');
  const own = join(home, 'restic');
  const store = join(own, 'store');
  const all = {
    ...env,
    RESTIC_REPOSITORY: store,
    RESTIC_PASSWORD: 'benchmark',
    RESTIC_CACHE_DIR: join(own, 'cache'),
  };
  const call = (...args) => ({ command: [program, ...args], env: all });
  return {
    name: 'restic --stdin-from-command',
    store,
    missing: program === undefined,
    reset() {
      emptyFolder(own);
      prepare(call('init', '-q'));
    },
    full: () =>
      call(
        'backup',
        '-q',
        '--stdin-filename',
        'bench.dump',
        '--stdin-from-command',
        '--',
        tool('pg_dump'),
        '-Fc',
        '-Z0',
        DATABASE,
      ),
  };
}
