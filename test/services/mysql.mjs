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
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { extractedPackages } from './apt.mjs';
import { cacheFolder } from './cache.mjs';
import { isProgram, run } from './child.mjs';
import { end, freePort, SOMEBODY_ELSES, serverUser, untilReady } from './server.mjs';

/** Which suite of Debian has which server. */
const SERVERS = {
  'mariadb-10.11': { suite: 'bookworm', packages: ['mariadb-server-core', 'mariadb-client'] },
  'mariadb-11.8': { suite: 'trixie', packages: ['mariadb-server-core', 'mariadb-client'] },
  'mysql-9.7': {
    suite: 'sid',
    packages: ['mysql-server-core', 'mysql-client-core'],
    extraLibraryFolders: ['mysql/private'],
  },
};

/** MariaDB 10.11 and 11.8, MySQL 9.7: servers with their own client tools. */
export const mysqlServices = Object.entries(SERVERS).map(([name, recipe]) => ({
  name,
  groups: ['test'],

  install() {
    const { fresh } = extractedPackages(name, recipe);
    const { server } = mysqlPrograms(name);
    return {
      fresh,
      version: run(server, ['--no-defaults', '--version'])
        .trim()
        .replace(/^\S+\s+/, ''),
    };
  },
}));

/**
 * The programs of a server, or undefined where they are not there yet.
 * @param {string} name
 * @returns {{ root: string, bin: string, server: string, pluginFolder: string } | undefined}
 */
export function mysqlPrograms(name) {
  const root = join(cacheFolder(), name);
  const server = join(root, 'usr/sbin', name.startsWith('mysql') ? 'mysqld' : 'mariadbd');
  if (!isProgram(server)) return undefined;
  const pluginFolder = join(
    root,
    'usr/lib',
    `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`,
    'libmariadb3/plugin',
  );
  return { root, bin: join(root, 'usr/bin'), server, pluginFolder };
}

/**
 * Starts a server of its own: new data folder, free port on the loopback interface, a password for its superuser. It
 * is not durable, and gone after `stop`.
 * @param {string} name
 * @param {{ settings?: Record<string, string> }} [options]
 * @returns {Promise<import('./mysql.d.mts').MysqlServer>}
 */
export async function startMysql(name, { settings = {} } = {}) {
  const programs = mysqlPrograms(name);
  if (!programs) throw new Error(`${name} is not there: npm run services -- ${name}`);
  const flavour = name.startsWith('mysql') ? 'mysql' : 'mariadb';
  const owner = serverUser();
  const root = mkdtempSync(join(tmpdir(), `dguard-${name}-`));
  const data = join(root, 'data');
  mkdirSync(data, { mode: 0o700 });
  for (const path of [root, data]) chownSync(path, owner.uid, owner.gid);
  chmodSync(root, 0o755);
  const identity = process.getuid?.() === 0 ? { uid: owner.uid, gid: owner.gid } : {};
  const env = { PATH: process.env.PATH, LC_ALL: 'C', HOME: root };
  // Of its own: a server that starts removes the temporary tables of all others that share the folder.
  const temporary = join(root, 'tmp');
  mkdirSync(temporary);
  chownSync(temporary, owner.uid, owner.gid);
  const base = [
    '--no-defaults',
    `--tmpdir=${temporary}`,
    `--basedir=${join(programs.root, 'usr')}`,
    `--datadir=${data}`,
    `--lc-messages-dir=${shareFolder(programs)}`,
    '--innodb-buffer-pool-size=64M',
    '--innodb-flush-log-at-trx-commit=0',
    // MySQL takes it for good when its data folder is made.
    ...(settings.lower_case_table_names === undefined
      ? []
      : [`--lower-case-table-names=${settings.lower_case_table_names}`]),
  ];
  const log = () => openSync(join(root, 'log'), 'a', 0o644);
  const lastLines = () => readFileSync(join(root, 'log'), 'utf8').split('\n').slice(-15).join('\n');
  const user = 'root';
  const password = `pw '${randomBytes(6).toString('hex')}:\\"#$x`;
  // Both servers run this file as their superuser each time they start.
  const initFile = join(root, 'init.sql');
  const quoted = `'${password.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  writeFileSync(
    initFile,
    `CREATE USER IF NOT EXISTS '${user}'@'127.0.0.1';\nALTER USER '${user}'@'127.0.0.1' IDENTIFIED BY ${quoted};\n` +
      `GRANT ALL PRIVILEGES ON *.* TO '${user}'@'127.0.0.1' WITH GRANT OPTION;\n`,
    { mode: 0o600 },
  );
  chownSync(initFile, owner.uid, owner.gid);
  bootstrap({ flavour, programs, base, data, identity, env, root });

  const port = await freePort();
  const all = {
    port: String(port),
    'bind-address': '127.0.0.1',
    socket: join(root, 'socket'),
    'pid-file': join(root, 'pid'),
    'init-file': initFile,
    'event-scheduler': 'ON',
    ...(flavour === 'mysql' ? { mysqlx: 'OFF', 'secure-file-priv': 'NULL' } : { 'skip-name-resolve': '1' }),
    ...settings,
  };
  let child;
  const launch = async () => {
    const out = log();
    const args = [...base, ...Object.entries(all).map(([key, value]) => `--${key}=${value}`)];
    child = spawn(programs.server, args, { ...identity, env, cwd: root, stdio: ['ignore', out, out] });
    await untilReady(child, { name: 'the server', isReady: () => answers(port), lastLines });
  };
  const halt = (signal = 'SIGTERM') => end(child, signal);
  const onExit = () => child?.kill('SIGKILL');
  process.once('exit', onExit);
  await launch();
  return {
    label: name,
    flavour,
    bin: programs.bin,
    pluginFolder: programs.pluginFolder,
    host: '127.0.0.1',
    port,
    user,
    password,
    socket: join(root, 'socket'),
    get pid() {
      return child.pid;
    },
    halt,
    resume: launch,
    async stop() {
      await halt('SIGKILL');
      process.off('exit', onExit);
      rmSync(root, { recursive: true, force: true });
    },
  };
}

/** The server that DGUARD_TEST_MYSQL_URL names: `mysql://superuser:password@host:port`. */
export function externalMysql() {
  const url = process.env.DGUARD_TEST_MYSQL_URL;
  if (!url) return undefined;
  const { hostname, port, username, password, protocol } = new URL(url);
  return {
    label: `${protocol.slice(0, -1)} at ${hostname}`,
    flavour: protocol === 'mariadb:' ? 'mariadb' : 'mysql',
    bin: undefined,
    pluginFolder: undefined,
    host: hostname,
    port: Number(port || 3306),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    socket: undefined,
    ...SOMEBODY_ELSES,
  };
}

/** Fills an empty data folder with the system's own tables. */
function bootstrap({ flavour, programs, base, data, identity, env, root }) {
  const options = { ...identity, env, cwd: root, encoding: 'utf8' };
  if (flavour === 'mysql') {
    const made = spawnSync(programs.server, [...base, '--initialize-insecure'], options);
    if (made.status !== 0)
      throw new Error(`mysqld --initialize-insecure failed: ${made.stderr || made.error}`);
    return;
  }
  const scripts = shareFolder(programs);
  const read = (name) => readFileSync(join(scripts, name), 'utf8');
  const tables = ['mysql_system_tables.sql', 'mysql_performance_tables.sql', 'mysql_system_tables_data.sql']
    .concat(['fill_help_tables.sql', 'mysql_sys_schema.sql'])
    .map((name) => {
      try {
        return read(name);
      } catch {
        return read(name.replace(/^mysql_/, 'mariadb_'));
      }
    });
  mkdirSync(join(data, 'mysql'));
  if (identity.uid !== undefined) chownSync(join(data, 'mysql'), identity.uid, identity.gid);
  const made = spawnSync(programs.server, [...base, '--bootstrap', '--skip-networking'], {
    ...options,
    input: `create database if not exists sys;\nuse mysql;\nSET @auth_root_socket=NULL;\n${tables.join('\n')}\nDELETE FROM global_priv WHERE User='';\n`,
  });
  if (made.status !== 0) throw new Error(`mariadbd --bootstrap failed: ${made.stderr || made.error}`);
}

/** MariaDB's was `mysql` too until 11. */
function shareFolder({ root }) {
  return ['mariadb', 'mysql']
    .map((name) => join(root, 'usr/share', name))
    .find((path) => existsSync(join(path, 'english')));
}

/** A server greets first; while it starts up nobody listens, or it hangs up. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (yes) => {
      socket.destroy();
      resolve(yes);
    };
    socket.once('data', () => end(true));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
  });
}
