import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MongoClient } from 'mongodb';
import { hasMongodb, mongoTools, startMongodb } from '../test/services/mongodb.mjs';
import { emptyFolder, measure, sizeBelow } from './measure.mjs';
import { textSource } from './text.mjs';

const DGUARD = fileURLToPath(new URL('../bin/dguard', import.meta.url));
const DATABASE = 'bench';
const ARTICLES_BYTES = 300e6;
const ARTICLE_BYTES = 3000;
const EVENTS = 500_000;

/**
 * A database of 300 MB of articles and half a million small documents, dumped and restored by dguard and by mongodump
 * and mongorestore. The server is FerretDB, which is slower than a mongod and paces all of them.
 */
export async function runMongodb({ folder, scale, rounds, say }) {
  const tools = mongoTools();
  if (!hasMongodb() || tools === undefined) {
    say('mongodb: left out: npm run services');
    return [];
  }
  const server = await startMongodb();
  const home = emptyFolder(join(folder, 'work', 'mongodb'));
  try {
    const startedMs = performance.now();
    await withDatabase(server, DATABASE, (db) => fill(db, scale));
    say(`mongodb: data ready in ${((performance.now() - startedMs) / 1000).toFixed(1)} s, FerretDB`);
    return await takeTurns({ server, tools, home, folder, rounds, say });
  } finally {
    await server.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

async function withDatabase(server, name, work) {
  const client = new MongoClient(`mongodb://${server.host}:${server.port}/?directConnection=true`, {
    auth: { username: server.user, password: server.password },
  });
  try {
    await client.connect();
    await work(client.db(name));
  } finally {
    await client.close();
  }
}

async function fill(db, scale) {
  const text = textSource(7);
  const buffer = Buffer.alloc(ARTICLE_BYTES);
  const article = (id) => {
    text(buffer);
    const body = buffer.toString('latin1').replace(/[^\x20-\x7e]/g, ' ');
    return { _id: id, title: body.slice(0, 40), tags: body.slice(40, 80).split(' '), body };
  };
  const event = (id) => ({
    _id: id,
    kind: `kind ${id % 17}`,
    at: new Date(1.7e12 + id * 1000),
    value: id / 7,
  });
  await insert(db.collection('articles'), Math.round((ARTICLES_BYTES * scale) / ARTICLE_BYTES), article);
  await insert(db.collection('events'), Math.round(EVENTS * scale), event);
  await db.collection('events').createIndex({ kind: 1, at: -1 });
}

async function insert(collection, count, make) {
  for (let from = 0; from < count; from += 2000) {
    const length = Math.min(2000, count - from);
    await collection.insertMany(Array.from({ length }, (_, i) => make(from + i)));
  }
}

async function takeTurns(bench) {
  const { folder, rounds, say, server } = bench;
  const field = [
    dguard(bench, 'zstd', 1),
    dguard(bench, 'zstd', 3),
    jsonl(bench),
    mongodump(bench, ''),
    mongodump(bench, '--gzip'),
  ];
  const results = [];
  for (let round = 1; round <= rounds; round++) {
    for (const operation of ['full', 'restore']) {
      const shift = (round - 1) % field.length;
      for (const one of [...field.slice(shift), ...field.slice(0, shift)]) {
        if (operation === 'full') one.reset();
        const measured = measure(one[operation](), join(folder, 'scratch'));
        const cost = operation === 'full' ? { ...measured, storedBytes: sizeBelow(one.store) } : measured;
        if (operation === 'restore') await withDatabase(server, 'restored', (db) => db.dropDatabase());
        results.push({ job: `mongodb ${operation}`, contestant: one.name, round, cost });
        say(`mongodb ${operation} ${round}/${rounds} ${one.name}: ${cost.wallS.toFixed(2)} s`);
      }
    }
  }
  return results;
}

const jsonl = (bench) => dguard(bench, 'jsonl', 3);

function dguard({ server, home }, kind, level) {
  const own = join(home, `dguard-${kind}-${level}`);
  const store = join(own, 'store');
  const config = join(own, 'backup.yaml');
  const call = (...args) => ({ command: [DGUARD, ...args, '-c', config, '--no-progress', '-q'], cwd: own });
  return {
    name: kind === 'jsonl' ? `dguard JSONL zstd ${level}` : `dguard zstd ${level}`,
    store,
    reset() {
      emptyFolder(own);
      mkdirSync(store);
      writeFileSync(join(own, 'password'), `${server.password}\n`, { mode: 0o600 });
      const data = {
        type: 'mongodb',
        host: server.host,
        port: server.port,
        username: server.user,
        password_file: join(own, 'password'),
        database: DATABASE,
      };
      const options = {
        compression: 'zstd',
        compression_level: level,
        ...(kind === 'jsonl' ? { format: 'jsonl' } : {}),
      };
      // JSON is YAML, and quotes every path as it should be quoted.
      const document = {
        version: 1,
        defaults: { temp_dir: own },
        datasources: { data },
        destinations: { store: { type: 'local', path: store } },
        jobs: { bench: { datasources: ['data'], destinations: ['store'], options } },
      };
      writeFileSync(config, `${JSON.stringify(document, null, 2)}\n`, { mode: 0o600 });
    },
    full: () => call('backup', 'bench'),
    restore: () => call('restore', 'bench', '--to-database', 'restored', '--yes'),
  };
}

function mongodump({ server, tools, home }, flag) {
  const own = join(home, `mongodump${flag}`);
  const store = join(own, 'archive');
  const config = join(own, 'tools.yaml');
  const access = () => [
    `--host=${server.host}`,
    `--port=${server.port}`,
    `--username=${server.user}`,
    '--authenticationDatabase=admin',
    `--config=${config}`,
    '--quiet',
    `--archive=${store}`,
    ...(flag === '' ? [] : [flag]),
  ];
  return {
    name: `mongodump --archive ${flag}`.trim(),
    store,
    reset() {
      emptyFolder(own);
      writeFileSync(config, `password: ${JSON.stringify(server.password)}\n`, { mode: 0o600 });
    },
    full: () => ({ command: [tools.mongodump, ...access(), `--db=${DATABASE}`] }),
    restore: () => ({
      command: [tools.mongorestore, ...access(), `--nsFrom=${DATABASE}.*`, '--nsTo=restored.*'],
    }),
  };
}
