import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cached } from './cache.mjs';
import { findCommand, run } from './child.mjs';

/**
 * Builds one program of a Go module. Not by `go install module@version`: for several modules the proxy refuses the list
 * of versions that it asks for; a go.mod that names the version needs no list.
 * @param {string} name of the program and of its folder in the cache
 * @param {{ module: string, version: string, package?: string }} source `package` is relative to the module
 * @returns {{ program: string, fresh: boolean }}
 */
export function goProgram(name, source) {
  const go =
    findCommand('go') ?? ['/usr/local/go/bin/go', '/usr/lib/go/bin/go'].find((path) => existsSync(path));
  const { folder, fresh } = cached(name, JSON.stringify(source), (made) => {
    if (!go) throw new Error('this machine has no Go');
    const path = source.package ? `${source.module}/${source.package}` : source.module;
    writeFileSync(
      join(made, 'go.mod'),
      `module build\n\ngo 1.24\n\nrequire ${source.module} ${source.version}\n`,
    );
    run(go, ['build', '-o', join(made, name), path], {
      cwd: made,
      env: { GOFLAGS: '-mod=mod -buildvcs=false', CGO_ENABLED: '0' },
      gentle: true,
    });
  });
  return { program: join(folder, name), fresh };
}
