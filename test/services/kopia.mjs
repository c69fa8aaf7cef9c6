import { join } from 'node:path';
import { cacheFolder } from './cache.mjs';
import { isProgram } from './child.mjs';
import { goProgram } from './gobuild.mjs';

const VERSION = 'v0.22.3';

/** kopia, built from its Go module: a peer of the benchmark. */
export const kopia = {
  name: 'kopia',
  groups: ['bench'],

  install() {
    const { fresh } = goProgram('kopia', { module: 'github.com/kopia/kopia', version: VERSION });
    return { fresh, version: `kopia ${VERSION.slice(1)}` };
  },

  /** @returns {string | undefined} the path of the program once it is built */
  program: () => (isProgram(program()) ? program() : undefined),
};

function program() {
  return join(cacheFolder(), 'kopia', 'kopia');
}
