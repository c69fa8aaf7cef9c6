import { randomBytes } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type OpenPipe, openPipe, PIPE_BYTES, type WideOutput } from './output.ts';
import { readChild, runChild } from './read.ts';
import type { ChildOptions } from './types.ts';

/** As much of it as this machine can: what it cannot is left out. */
export async function wideOutput(
  folder: string,
  elsewhere: boolean,
  options: ChildOptions,
): Promise<WideOutput> {
  const [pipe, env] = await Promise.all([
    makePipe(folder, options),
    elsewhere ? {} : bufferedOutput(options),
  ]);
  return { pipe, env };
}

async function makePipe(
  folder: string,
  { env, signal }: Pick<ChildOptions, 'env' | 'signal'>,
): Promise<OpenPipe | undefined> {
  const path = join(folder, `output-${randomBytes(6).toString('hex')}`);
  const { failed } = await runChild(['mkfifo', '-m', '600', path], { env, signal });
  if (!failed) return await openPipe(path).catch(() => undefined);
  // An abort may have met it when the pipe was made.
  await rm(path, { force: true }).catch(() => {});
  return undefined;
}

/**
 * What stdbuf(1) adds to the environment of a program, for writes as large as the pipe instead of 4 KiB: each of those
 * would be two system calls, and often a change of threads. A sixth of the CPU time of `pg_dump | zstd`.
 */
async function bufferedOutput({
  env: { PATH, LD_PRELOAD },
  signal,
}: Pick<ChildOptions, 'env' | 'signal'>): Promise<Record<string, string>> {
  const env = { PATH, LD_PRELOAD };
  const argv = ['stdbuf', `--output=${PIPE_BYTES}`, 'env'];
  const said = await readChild(argv, { env, signal, maxBytes: 100_000 }).catch(() => '');
  const added = Object.fromEntries(
    said.split('\n').flatMap((line) => {
      const [, name, value] = /^(LD_PRELOAD|_STDBUF_O)=(.*)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, value!]];
    }),
  );
  const known = new Set(LD_PRELOAD?.split(/[ :]/));
  const libraries = (added['LD_PRELOAD'] ?? '').split(/[ :]/).filter((path) => !known.has(path));
  return (await Promise.all(libraries.map(isOnlyOurs))).every(Boolean) ? added : {};
}

/**
 * Whether nobody but root and this user can put another file into its place: the stdbuf of uutils makes the library
 * in a temporary folder, which goes with it, and then anybody may make a folder of that name.
 */
async function isOnlyOurs(library: string): Promise<boolean> {
  const found = await Promise.all([stat(library), stat(dirname(library))]).catch(() => []);
  const users = [0, process.getuid?.()];
  return found.length > 0 && found.every(({ uid, mode }) => users.includes(uid) && (mode & 0o022) === 0);
}
