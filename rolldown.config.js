import { readdirSync, readFileSync } from 'node:fs';

/** Modules that something finds by their path: bin/dguard, `threadFile`, tests and the bench. */
const ENTRIES = /^(threads|cli\/main|manifest\/parse|engines\/\w+\/engine|.+-thread)\.ts$/;
/** Plain JavaScript that many commands load, in many files. Native add-ons and drivers stay packages. */
const BUNDLED = ['cli-table3', 'commander', 'execa', 'ora', 'picomatch', 'string-width', 'yaml', 'zod'];

const { dependencies, optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const packages = Object.keys({ ...dependencies, ...optionalDependencies });
const external = packages.filter((name) => !BUNDLED.includes(name));
const entries = readdirSync('src', { recursive: true }).filter((path) => ENTRIES.test(path));

/** The licences of what is bundled ask that their text goes with the code. */
const licences = {
  name: 'licences',
  generateBundle(_, bundle) {
    const modules = Object.values(bundle).flatMap(({ moduleIds = [] }) => moduleIds);
    const folders = modules.flatMap((id) => /\/.*\/node_modules\/(@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []);
    const texts = [...new Set(folders)].sort().map((folder) => {
      const { name, version } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
      const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file));
      if (files.length === 0) throw new Error(`${name} is bundled and has no licence text`);
      const text = files.map((file) => readFileSync(`${folder}/${file}`, 'utf8').trim()).join('\n\n');
      return `${name}@${version}\n\n${text}\n`;
    });
    const source = texts.join(`\n${'-'.repeat(80)}\n\n`);
    this.emitFile({ type: 'asset', fileName: 'THIRD-PARTY-LICENSES.txt', source });
  },
};

/** One file for what is always loaded together: Node takes a millisecond for every module that it loads. */
export default {
  input: Object.fromEntries(entries.map((path) => [path.replace(/\.ts$/, ''), `src/${path}`])),
  platform: 'node',
  plugins: [licences],
  external: external.map((name) => new RegExp(`^${name}(/|$)`)),
  // Chunks lie flat in `dist/`: the paths of `threadFile` are relative to it.
  output: { dir: 'dist', format: 'esm', chunkFileNames: '[name]-[hash].js', cleanDir: true },
};
