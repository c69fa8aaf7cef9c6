import { installSystemPackages } from './apt.mjs';
import { findCommand } from './child.mjs';

/** The commands that the tests call, and the Debian package of each. */
const PACKAGE_OF = {
  brotli: 'brotli',
  bzip2: 'bzip2',
  getfacl: 'acl',
  getfattr: 'attr',
  gzip: 'gzip',
  lz4: 'lz4',
  openssl: 'openssl',
  pigz: 'pigz',
  python3: 'python3',
  rsync: 'rsync',
  setfacl: 'acl',
  setfattr: 'attr',
  sqlite3: 'sqlite3',
  tar: 'tar',
  zstd: 'zstd',
};

/** Ordinary command line tools. What cannot be installed is named, and the tests that need it are skipped by name. */
export const commands = {
  name: 'commands',
  groups: ['test', 'bench'],

  install() {
    const missing = missingCommands();
    if (missing.length === 0) return { fresh: false, version: Object.keys(PACKAGE_OF).join(', ') };
    const failure = installSystemPackages([...new Set(missing.map((command) => PACKAGE_OF[command]))]);
    const still = missingCommands();
    if (still.length === 0) return { fresh: true, version: `installed ${missing.join(', ')}` };
    const packages = [...new Set(still.map((command) => PACKAGE_OF[command]))];
    const reason = failure ?? 'the package was installed, but brought no such command';
    throw new Error(`missing ${still.join(', ')} (Debian: apt-get install ${packages.join(' ')}): ${reason}`);
  },
};

function missingCommands() {
  return Object.keys(PACKAGE_OF).filter((command) => !findCommand(command));
}
