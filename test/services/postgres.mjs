import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extractedPackages, extractedSource } from './apt.mjs';
import { cacheFolder } from './cache.mjs';
import { isProgram, run } from './child.mjs';
import { end, freePort, isPostgresReady, SOMEBODY_ELSES, serverUser, untilReady } from './server.mjs';

/** Which suite of Debian has which major; one that is installed on the system comes first. */
const SUITES = { 15: 'bookworm', 17: 'trixie', 18: 'sid' };

/** PostgreSQL 15, 17 and 18: servers with their own client tools. */
export const postgresServices = Object.keys(SUITES).map((major) => ({
  name: `postgres-${major}`,
  groups: ['test'],

  install() {
    let fresh = false;
    if (!postgresPrograms(major)) {
      const packages = [`postgresql-${major}`];
      ({ fresh } = extractedPackages(`postgres-${major}`, { suite: SUITES[major], packages }));
    }
    return { fresh, version: run(join(postgresPrograms(major), 'postgres'), ['--version']).trim() };
  },
}));

/** The SQL of PostgreSQL's own regression tests, whose database has every kind of object: of the newest major. */
export const REGRESSION_MAJOR = 18;
const REGRESSION = `postgres-${REGRESSION_MAJOR}-regress`;
export const regressionService = {
  name: REGRESSION,
  groups: ['test'],

  install() {
    const what = {
      suite: SUITES[REGRESSION_MAJOR],
      source: `postgresql-${REGRESSION_MAJOR}`,
      inside: 'src/test/regress',
    };
    const { fresh } = extractedSource(REGRESSION, what);
    if (!regressionTests()) throw new Error('the source package has no regression tests where they were');
    return { fresh, version: 'parallel_schedule, sql, data' };
  },
};

/** The folder of `parallel_schedule`, or undefined where it is not there yet. */
export function regressionTests() {
  const folder = join(cacheFolder(), REGRESSION);
  return existsSync(join(folder, '.recipe')) && existsSync(join(folder, 'parallel_schedule'))
    ? folder
    : undefined;
}

/**
 * The folder of a major's programs, or undefined where it is not there yet.
 * @param {number | string} major
 * @returns {string | undefined}
 */
export function postgresPrograms(major) {
  return [
    `/usr/lib/postgresql/${major}/bin`,
    join(cacheFolder(), `postgres-${major}`, `usr/lib/postgresql/${major}/bin`),
  ].find((folder) => isProgram(join(folder, 'postgres')) && isProgram(join(folder, 'pg_dump')));
}

/**
 * Starts a server of its own: new data folder, free port on the loopback interface, a password for its superuser, peer
 * authentication at its socket. It is not durable, and gone after `stop`.
 * @param {number | string} major
 * @param {{ settings?: Record<string, string>, env?: Record<string, string> }} [options]
 * @returns {Promise<import('./postgres.d.mts').PostgresServer>}
 */
export async function startPostgres(major, { settings = {}, env: more = {} } = {}) {
  const bin = postgresPrograms(major);
  if (!bin) throw new Error(`PostgreSQL ${major} is not there: npm run services -- postgres-${major}`);
  const owner = serverUser();
  const root = mkdtempSync(join(tmpdir(), `dguard-pg${major}-`));
  const data = join(root, 'data');
  const password = `pw '${randomBytes(6).toString('hex')}:\\"$x`;
  const passwordFile = join(root, 'pwfile');
  mkdirSync(data, { mode: 0o700 });
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  for (const path of [root, data, passwordFile]) chownSync(path, owner.uid, owner.gid);
  chmodSync(root, 0o755);
  const identity = process.getuid?.() === 0 ? { uid: owner.uid, gid: owner.gid } : {};
  const env = { PATH: process.env.PATH, LC_ALL: 'C', ...more };

  const initdb = spawnSync(
    join(bin, 'initdb'),
    [
      '-D',
      data,
      '-U',
      owner.name,
      '-E',
      'UTF8',
      '--locale=C',
      '--no-sync',
      '--auth-host=scram-sha-256',
      '--auth-local=peer',
      `--pwfile=${passwordFile}`,
    ],
    { ...identity, env, cwd: root, encoding: 'utf8' },
  );
  rmSync(passwordFile);
  if (initdb.status !== 0)
    throw new Error(`initdb of PostgreSQL ${major} failed: ${initdb.stderr || initdb.error}`);
  const port = await freePort();
  const all = {
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: root,
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    shared_buffers: '64MB',
    max_connections: '60',
    jit: 'off',
    wal_level: 'logical',
    log_timezone: 'UTC',
    timezone: 'UTC',
    ...settings,
  };
  let child;
  const launch = async () => {
    const log = openSync(join(root, 'log'), 'a', 0o644);
    const args = ['-D', data, ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`])];
    child = spawn(join(bin, 'postgres'), args, { ...identity, env, cwd: root, stdio: ['ignore', log, log] });
    await untilReady(child, {
      name: 'the server',
      isReady: () => isPostgresReady(child, data),
      lastLines: () => readFileSync(join(root, 'log'), 'utf8').split('\n').slice(-15).join('\n'),
    });
  };
  const halt = (signal = 'SIGINT') => end(child, signal);
  const onExit = () => child?.kill('SIGQUIT');
  process.once('exit', onExit);
  await launch();
  return {
    label: `PostgreSQL ${major}`,
    bin,
    host: '127.0.0.1',
    port,
    user: owner.name,
    password,
    socketFolder: root,
    get pid() {
      return child.pid;
    },
    halt,
    resume: launch,
    async stop() {
      await halt();
      process.off('exit', onExit);
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** The server that DGUARD_TEST_POSTGRES_URL names: `postgres://superuser:password@host:port`. */
export function externalPostgres() {
  const url = process.env.DGUARD_TEST_POSTGRES_URL;
  if (!url) return undefined;
  const { hostname, port, username, password } = new URL(url);
  return {
    label: `PostgreSQL at ${hostname}`,
    bin: undefined,
    host: hostname,
    port: Number(port || 5432),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    socketFolder: undefined,
    ...SOMEBODY_ELSES,
  };
}
