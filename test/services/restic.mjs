import { join } from 'node:path';
import { extractedPackages } from './apt.mjs';
import { cacheFolder } from './cache.mjs';
import { isProgram, run } from './child.mjs';

/** restic of Debian unstable: a peer of the benchmark, and the oracle for retention. */
export const restic = {
  name: 'restic',
  groups: ['bench'],

  install() {
    const { fresh } = extractedPackages('restic', { suite: 'sid', packages: ['restic'] });
    return { fresh, version: run(program(), ['version']).split(' ').slice(0, 2).join(' ') };
  },

  /** @returns {string | undefined} the path of the program once it is installed */
  program: () => (isProgram(program()) ? program() : undefined),
};

function program() {
  return join(cacheFolder(), 'restic', 'usr/bin/restic');
}
