import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extractedPackages } from './apt.mjs';
import { cacheFolder } from './cache.mjs';
import { isProgram, run } from './child.mjs';
import { goProgram } from './gobuild.mjs';
import { end, freePort, isPostgresReady, SOMEBODY_ELSES, serverUser, untilReady } from './server.mjs';

const FERRETDB = { module: 'github.com/FerretDB/FerretDB/v2', version: 'v2.7.0', package: 'cmd/ferretdb' };
const TOOLS = {
  module: 'github.com/mongodb/mongo-tools',
  version: 'v0.0.0-20260821190201-8fa3cfc8263b',
};
/** PostgreSQL with the extension that FerretDB stands on. */
const DOCUMENTDB = { suite: 'sid', packages: ['postgresql-18', 'postgresql-18-documentdb'] };

/** What speaks MongoDB's protocol where no mongod can be had, and MongoDB's own dump tools. */
export const mongodbServices = [
  {
    name: 'documentdb',
    groups: ['test'],

    install() {
      const { folder, fresh } = extractedPackages('documentdb', DOCUMENTDB);
      if (fresh) nameExtensions(join(folder, 'usr/share/postgresql/18/extension'));
      const version = run(join(postgresBin(), 'postgres'), ['--version']).trim();
      return { fresh, version: `${version} with DocumentDB` };
    },
  },
  {
    name: 'ferretdb',
    groups: ['test'],

    install() {
      const { fresh } = goProgram('ferretdb', FERRETDB);
      return { fresh, version: `FerretDB ${FERRETDB.version.slice(1)}` };
    },
  },
  ...['mongodump', 'mongorestore'].map((name) => ({
    name,
    groups: ['test'],

    install() {
      const { fresh } = goProgram(name, { ...TOOLS, package: `${name}/main` });
      return { fresh, version: `mongo-tools ${TOOLS.version}` };
    },
  })),
];

/** Debian's packages name PostGIS's control files with its major; DocumentDB asks for them without. */
function nameExtensions(folder) {
  for (const file of readdirSync(folder)) {
    const plain = /^(postgis.*)-3\.control$/.exec(file)?.[1];
    if (plain) copyFileSync(join(folder, file), join(folder, `${plain}.control`));
  }
}

/** The folder that holds mongodump and mongorestore beside each other, or the reason why there is none. */
export function mongoTools() {
  const paths = ['mongodump', 'mongorestore'].map((name) => join(cacheFolder(), name, name));
  return paths.every(isProgram) ? { mongodump: paths[0], mongorestore: paths[1] } : undefined;
}

/** Whether all that a server is made of is there. */
export function hasMongodb() {
  return isProgram(join(cacheFolder(), 'ferretdb', 'ferretdb')) && isProgram(join(postgresBin(), 'postgres'));
}

function postgresBin() {
  return join(cacheFolder(), 'documentdb', 'usr/lib/postgresql/18/bin');
}

/**
 * Starts FerretDB over a PostgreSQL of its own: new data folder, free ports on the loopback interface, a password for
 * its administrator. It is not durable, and gone after `stop`.
 * @param {{ tls?: { cert: string, key: string, ca: string } }} [options] PEM files that anyone may read: it listens
 *   with TLS as well, and wants certificates of that authority
 * @returns {Promise<import('./mongodb.d.mts').MongodbServer>}
 */
export async function startMongodb({ tls } = {}) {
  if (!hasMongodb()) throw new Error('FerretDB is not there: npm run services -- ferretdb documentdb');
  const owner = serverUser();
  const root = mkdtempSync(join(tmpdir(), 'dguard-mongo-'));
  const data = join(root, 'data');
  const state = join(root, 'state');
  for (const folder of [data, state]) mkdirSync(folder, { mode: 0o700 });
  for (const path of [root, data, state]) chownSync(path, owner.uid, owner.gid);
  chmodSync(root, 0o755);
  const identity = process.getuid?.() === 0 ? { uid: owner.uid, gid: owner.gid } : {};
  const env = { PATH: process.env.PATH, LC_ALL: 'C', HOME: root };
  const bin = postgresBin();
  const must = (program, args, input) => {
    const made = spawnSync(join(bin, program), args, {
      ...identity,
      env,
      cwd: root,
      encoding: 'utf8',
      ...(input === undefined ? {} : { input }),
    });
    if (made.status !== 0) throw new Error(`${program} failed: ${made.stderr || made.error}`);
    return made.stdout;
  };
  must('initdb', ['-D', data, '-U', 'documentdb', '-E', 'UTF8', '--locale=C', '--no-sync', '--auth=trust']);
  const postgresPort = await freePort();
  const port = await freePort();
  const tlsPort = tls && (await freePort());
  const settings = {
    port: String(postgresPort),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: root,
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    shared_buffers: '64MB',
    max_connections: '80',
    jit: 'off',
    shared_preload_libraries: 'pg_cron,pg_documentdb_core,pg_documentdb',
    'cron.database_name': 'postgres',
    'cron.host': '127.0.0.1',
  };
  const log = () => openSync(join(root, 'log'), 'a', 0o644);
  const lastLines = () => readFileSync(join(root, 'log'), 'utf8').split('\n').slice(-15).join('\n');
  let postgres;
  let ferret;
  const launchPostgres = async () => {
    const out = log();
    const args = [
      '-D',
      data,
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ];
    postgres = spawn(join(bin, 'postgres'), args, {
      ...identity,
      env,
      cwd: root,
      stdio: ['ignore', out, out],
    });
    const isReady = () => isPostgresReady(postgres, data);
    await untilReady(postgres, { name: 'PostgreSQL', isReady, lastLines, withinMs: 90_000 });
  };
  const launchFerret = async () => {
    const out = log();
    const args = [
      `--postgresql-url=postgres://documentdb@127.0.0.1:${postgresPort}/postgres`,
      `--listen-addr=127.0.0.1:${port}`,
      '--debug-addr=-',
      `--state-dir=${state}`,
      '--telemetry=disable',
      '--log-level=warn',
      ...(tls
        ? [
            `--listen-tls=127.0.0.1:${tlsPort}`,
            `--listen-tls-cert-file=${tls.cert}`,
            `--listen-tls-key-file=${tls.key}`,
            `--listen-tls-ca-file=${tls.ca}`,
          ]
        : []),
    ];
    ferret = spawn(join(cacheFolder(), 'ferretdb', 'ferretdb'), args, {
      ...identity,
      env,
      cwd: root,
      stdio: ['ignore', out, out],
    });
    const isReady = () => answers(port);
    await untilReady(ferret, { name: 'FerretDB', isReady, lastLines, withinMs: 90_000 });
  };
  const onExit = () => {
    ferret?.kill('SIGKILL');
    postgres?.kill('SIGQUIT');
  };
  process.once('exit', onExit);
  const stop = async () => {
    await end(ferret, 'SIGKILL');
    await end(postgres, 'SIGQUIT');
    process.off('exit', onExit);
    rmSync(root, { recursive: true, force: true });
  };
  const user = 'root';
  const password = `pw '${randomBytes(6).toString('hex')}:\\"#$@/x`;
  try {
    await launchPostgres();
    const psql = ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', String(postgresPort)];
    const first = [...psql, '-U', 'documentdb', '-d', 'postgres'];
    must('psql', first, 'CREATE EXTENSION documentdb CASCADE;\n');
    const spec = JSON.stringify({ createUser: user, pwd: password, roles: ADMIN_ROLES });
    must('psql', first, `SELECT documentdb_api.create_user('${spec.replaceAll("'", "''")}');\n`);
    await launchFerret();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    label: 'FerretDB',
    host: '127.0.0.1',
    port,
    tlsPort,
    user,
    password,
    get pid() {
      return ferret.pid;
    },
    halt: (signal = 'SIGKILL') => end(ferret, signal),
    resume: launchFerret,
    stop,
  };
}

const ADMIN_ROLES = [
  { role: 'clusterAdmin', db: 'admin' },
  { role: 'readWriteAnyDatabase', db: 'admin' },
];

/** The server that DGUARD_TEST_MONGODB_URL names: `mongodb://administrator:password@host:port`. */
export function externalMongodb() {
  const url = process.env.DGUARD_TEST_MONGODB_URL;
  if (!url) return undefined;
  const { hostname, port, username, password } = new URL(url);
  return {
    label: `MongoDB at ${hostname}`,
    host: hostname,
    port: Number(port || 27017),
    tlsPort: undefined,
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    ...SOMEBODY_ELSES,
  };
}

/** Whether it takes commands: it listens before. */
async function answers(port) {
  const { MongoClient } = await import('mongodb');
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`, {
    serverSelectionTimeoutMS: 500,
  });
  try {
    await client.db('admin').command({ hello: 1 });
    return true;
  } catch {
    return false;
  } finally {
    await client.close();
  }
}
