// npm run services: installs what the tests need from outside npm, once; a second run takes seconds.
//   npm run services              what the tests use
//   npm run services -- bench     also the peers of `npm run bench`
//   npm run services -- kopia     one service by its name
// What cannot be had on this machine is named and left out (exit status 0): the tests that need it are skipped by name.

import { cacheFolder } from './cache.mjs';
import { commands } from './commands.mjs';
import { kopia } from './kopia.mjs';
import { mongodbServices } from './mongodb.mjs';
import { mysqlServices } from './mysql.mjs';
import { postgresServices, regressionService } from './postgres.mjs';
import { restic } from './restic.mjs';

const SERVICES = [
  commands,
  ...postgresServices,
  regressionService,
  ...mysqlServices,
  ...mongodbServices,
  restic,
  kopia,
];
const ALWAYS = 'test';

main(
  process.argv.slice(2).flatMap((argument) =>
    argument
      .replace(/^--with=?/, '')
      .split(',')
      .filter(Boolean),
  ),
);

function main(wanted) {
  const known = new Set(SERVICES.flatMap((service) => [service.name, ...service.groups]));
  const unknown = wanted.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    console.error(`services: unknown: ${unknown.join(', ')}; known: ${[...known].join(', ')}`);
    process.exitCode = 2;
    return;
  }
  console.log(`services: cache ${cacheFolder()}`);
  const groups = new Set([ALWAYS, ...wanted]);
  const chosen = SERVICES.filter((service) =>
    [service.name, ...service.groups].some((name) => groups.has(name)),
  );
  const missing = chosen.filter((service) => !installed(service));
  const have = chosen.length - missing.length;
  console.log(
    `services: ${have} ready, ${missing.length} not to be had${missing.length > 0 ? ' (see above)' : ''}`,
  );
}

function installed(service) {
  const startedMs = performance.now();
  try {
    const { fresh, version } = service.install();
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`  ${service.name}: ${version} (${fresh ? `made in ${seconds} s` : 'was there'})`);
    return true;
  } catch (error) {
    console.log(`  ${service.name}: NOT AVAILABLE: ${error.message}`);
    return false;
  }
}
