import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Compiles one module under `src/`, with what it imports and nothing else, into `outDir`, so that a child
 * process can run it. Returns the compiled file's path.
 */
export async function compileModule(module: string, outDir: string): Promise<string> {
  const config = {
    extends: join(REPOSITORY, 'tsconfig.build.json'),
    compilerOptions: {
      rootDir: join(REPOSITORY, 'src'),
      outDir,
      typeRoots: [join(REPOSITORY, 'node_modules/@types')],
    },
    include: [],
    files: [module, 'webassembly.d.ts'].map((file) => join(REPOSITORY, 'src', file)),
  };
  await writeFile(join(outDir, 'tsconfig.json'), JSON.stringify(config));
  await writeFile(join(outDir, 'package.json'), '{"type":"module"}');
  const tsc = join(REPOSITORY, 'node_modules/typescript/bin/tsc');
  await promisify(execFile)(process.execPath, [tsc, '-p', join(outDir, 'tsconfig.json')]);
  return join(outDir, module.replace(/\.ts$/, '.js'));
}
