import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { feedPipes } from '../../../src/engines/postgres/dump/data-pipes.ts';

const folder = mkdtempSync(join(tmpdir(), 'dguard-pipes-'));
afterAll(() => rmSync(folder, { recursive: true }));

function pipe(name: string, text: string, path = join(folder, name)) {
  return {
    path,
    async *data() {
      yield Buffer.from(text);
    },
  };
}

test('each pipe gets its data once its reader opens it', async () => {
  const pipes = [pipe('one', 'first'), pipe('two', 'second')];
  execFileSync('mkfifo', [...pipes.map(({ path }) => path)]);
  const read = Promise.all([...pipes].reverse().map(({ path }) => readFile(path, 'utf8')));
  await feedPipes(pipes, { readers: 2, gone: read, stop: () => {} });
  expect(await read).toEqual(['second', 'first']);
});

test('more pipes than readers: one after the other; those that nobody asks for are left', async () => {
  const pipes = ['a', 'b', 'c', 'd'].map((name) => pipe(name, name.repeat(200_000)));
  execFileSync('mkfifo', [...pipes.map(({ path }) => path)]);
  const read = (async () => {
    let text = '';
    for (const at of [2, 0, 1]) text += await readFile(pipes[at]!.path, 'utf8');
    return text;
  })();
  await feedPipes(pipes, { readers: 1, gone: read, stop: () => {} });
  expect(await read).toBe('c'.repeat(200_000) + 'a'.repeat(200_000) + 'b'.repeat(200_000));
});

test('a pipe that cannot be opened stops the reader, which would wait for ever', async () => {
  let end = () => {};
  const gone = new Promise<void>((resolve) => {
    end = resolve;
  });
  const stopped: unknown[] = [];
  const fed = feedPipes([pipe('none', '', join(folder, 'no-such-folder', 'none'))], {
    readers: 1,
    gone,
    stop(error) {
      stopped.push(error);
      end();
    },
  });
  await expect(fed).rejects.toThrow(/ENOENT/);
  expect(stopped).toHaveLength(1);
});
