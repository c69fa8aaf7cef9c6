import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cached } from './cache.mjs';
import { findCommand, run } from './child.mjs';
import { patchPrograms } from './patchelf.mjs';

/**
 * Installs packages of the machine's own distribution.
 * @param {string[]} packages
 * @returns {string | undefined} why it could not be done, or undefined when it is done
 */
export function installSystemPackages(packages) {
  if (!findCommand('apt-get')) return 'this machine has no apt-get';
  if (process.getuid?.() !== 0) return 'installing packages needs root';
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  try {
    run('apt-get', ['update', '-qq'], { env });
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
    return undefined;
  } catch (error) {
    return error.message;
  }
}

/**
 * Packages of any suite of Debian (`bookworm`, `trixie`, `sid`) with all they depend on, unpacked into one folder of
 * the cache and patched so that its programs use the libraries beside them. Nothing is installed on the system, and
 * root is not needed.
 * @param {string} name of the folder in the cache
 * @param {{ suite: string, packages: string[], extraLibraryFolders?: string[] }} what library folders relative to `usr/lib`
 * @returns {{ folder: string, fresh: boolean }} the folder that holds `usr/bin` …
 */
export function extractedPackages(name, { suite, packages, extraLibraryFolders = [] }) {
  const recipe = JSON.stringify({ suite, packages, extraLibraryFolders, revision: 1 });
  return cached(name, recipe, (folder) => {
    const archives = downloadPackages(suite, packages);
    for (const deb of archives) run('dpkg-deb', ['-x', deb, folder]);
    // Debian 12 packs its C library into /lib, which is a link to /usr/lib on a machine.
    if (existsSync(join(folder, 'lib')))
      cpSync(join(folder, 'lib'), join(folder, 'usr/lib'), { recursive: true });
    patchPrograms(folder, extraLibraryFolders, patchelf);
  });
}

/**
 * One folder of a source package of any suite of Debian, without its patches.
 * @param {string} name of the folder in the cache
 * @param {{ suite: string, source: string, inside: string }} what `inside`: the folder, relative to the package's own
 * @returns {{ folder: string, fresh: boolean }} the folder that has what was `inside`
 */
export function extractedSource(name, { suite, source, inside }) {
  const recipe = JSON.stringify({ suite, source, inside, revision: 1 });
  return cached(name, recipe, (folder) => {
    const { options } = privateRoot(suite);
    run('apt-get', [...options, '-qq', 'update']);
    const downloads = join(folder, 'downloads');
    mkdirSync(downloads);
    run('apt-get', [...options, '-qq', '--download-only', '--only-source', 'source', source], {
      cwd: downloads,
    });
    const archive = readdirSync(downloads).find((file) => /\.orig\.tar\.\w+$/.test(file));
    if (!archive) throw new Error(`the source of ${source} has no archive of its origin`);
    const strip = `--strip-components=${1 + inside.split('/').length}`;
    run('tar', ['-xf', join(downloads, archive), '-C', folder, strip, '--wildcards', `*/${inside}`]);
    rmSync(downloads, { recursive: true });
  });
}

/** Downloads packages and all they depend on; returns the paths of the .deb files. */
function downloadPackages(suite, packages) {
  for (const tool of ['apt-get', 'dpkg-deb']) {
    if (!findCommand(tool)) throw new Error(`this machine has no ${tool}`);
  }
  const { root, options } = privateRoot(suite);
  const archives = join(root, 'downloads', packages.join('+'));
  const state = [...options, '-o', `Dir::Cache::archives=${archives}`];
  mkdirSync(join(archives, 'partial'), { recursive: true });
  run('apt-get', [...state, '-qq', 'update']);
  run('apt-get', [...state, '-qq', '-y', '--download-only', 'install', ...packages]);
  return readdirSync(archives)
    .filter((file) => file.endsWith('.deb'))
    .map((file) => join(archives, file));
}

/** A root of apt's own for a suite, beside the machine's, and the options that make apt use it. */
function privateRoot(suite) {
  const { folder: root } = cached(`apt-${suite}`, 'private apt root 2', (fresh) =>
    preparePrivateRoot(fresh, suite),
  );
  const options = [
    ['Dir::State', join(root, 'state')],
    ['Dir::State::status', join(root, 'state', 'nothing-installed')],
    ['Dir::Cache', join(root, 'cache')],
    ['Dir::Etc::SourceList', '/dev/null'],
    ['Dir::Etc::SourceParts', join(root, 'sources.d')],
    ['APT::Install-Recommends', 'false'],
    ['APT::Sandbox::User', ''],
    ['Acquire::Languages', 'none'],
  ].flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  return { root, options };
}

function preparePrivateRoot(root, suite) {
  for (const folder of ['state/lists/partial', 'cache', 'sources.d'])
    mkdirSync(join(root, folder), { recursive: true });
  writeFileSync(join(root, 'state', 'nothing-installed'), '');
  const { uri, signedBy } = debianArchive();
  const source = ['Types: deb deb-src', `URIs: ${uri}`, `Suites: ${suite}`, 'Components: main'];
  if (signedBy) source.push(`Signed-By: ${signedBy}`);
  writeFileSync(join(root, 'sources.d', 'suite.sources'), `${source.join('\n')}\n`);
}

/** The archive this machine itself installs Debian from. */
function debianArchive() {
  const codename = debianCodename();
  const parts = '/etc/apt/sources.list.d';
  const more = existsSync(parts) ? readdirSync(parts).map((file) => join(parts, file)) : [];
  const files = ['/etc/apt/sources.list', ...more];
  for (const file of files.filter((path) => existsSync(path))) {
    const found = file.endsWith('.sources')
      ? archiveOfStanzas(readFileSync(file, 'utf8'), codename)
      : archiveOfLines(readFileSync(file, 'utf8'), codename);
    if (found) return found;
  }
  throw new Error(`no source of ${codename} main in the machine's apt sources`);
}

function debianCodename() {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  const codename = /^VERSION_CODENAME="?([a-z]+)/m.exec(release)?.[1];
  if (!/^ID="?debian"?$/m.test(release) || !codename) throw new Error('this machine does not run Debian');
  return codename;
}

function archiveOfStanzas(text, codename) {
  for (const stanza of text.replace(/^#.*\n/gm, '').split(/\n\s*\n/)) {
    const field = (name) => new RegExp(`^${name}:\\s*(.+)$`, 'mi').exec(stanza)?.[1]?.trim();
    const words = (name) => (field(name) ?? '').split(/\s+/);
    if (!words('Suites').includes(codename) || !words('Components').includes('main')) continue;
    return { uri: words('URIs')[0], signedBy: field('Signed-By') };
  }
  return undefined;
}

function archiveOfLines(text, codename) {
  for (const line of text.split('\n')) {
    const match = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+(.*)$/.exec(line.trim());
    if (!match || match[3] !== codename || !match[4].split(/\s+/).includes('main')) continue;
    return { uri: match[2], signedBy: /signed-by=(\S+)/.exec(match[1] ?? '')?.[1] };
  }
  return undefined;
}

/** The path of patchelf: the machine's, or the one of its own suite, unpacked. */
function patchelf() {
  const installed = findCommand('patchelf');
  if (installed) return installed;
  const codename = debianCodename();
  const { folder } = cached('patchelf', `patchelf of ${codename}`, (fresh) => {
    for (const deb of downloadPackages(codename, ['patchelf'])) {
      if (basename(deb).startsWith('patchelf_')) run('dpkg-deb', ['-x', deb, fresh]);
    }
  });
  return join(folder, 'usr/bin/patchelf');
}
