import { readdirSync, readFileSync } from 'node:fs';

/** Modules that something finds by their path: bin/dguard, `threadFile`, tests and the bench. */
const ENTRIES = /^(threads|cli\/main|manifest\/parse|engines\/\w+\/engine|.+-thread)\.ts$/;
/** Plain JavaScript that many commands load, in many files. Native add-ons and drivers stay packages. */
const BUNDLED = ['cli-table3', 'commander', 'execa', 'ora', 'picomatch', 'string-width', 'yaml', 'zod'];

const { dependencies, optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const packages = Object.keys({ ...dependencies, ...optionalDependencies });
const external = packages.filter((name) => !BUNDLED.includes(name));
const entries = readdirSync('src', { recursive: true }).filter((path) => ENTRIES.test(path));

/** One file for what is always loaded together: Node takes a millisecond for every module that it loads. */
export default {
  input: Object.fromEntries(entries.map((path) => [path.replace(/\.ts$/, ''), `src/${path}`])),
  platform: 'node',
  external: external.map((name) => new RegExp(`^${name}(/|$)`)),
  // Chunks lie flat in `dist/`: the paths of `threadFile` are relative to it.
  output: { dir: 'dist', format: 'esm', chunkFileNames: '[name]-[hash].js', cleanDir: true },
};
