import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DGUARD, type Workspace, workspace } from './support.ts';

let space: Workspace;
let pipe: string;

beforeAll(() => {
  space = workspace();
  space.config({
    datasources: { tree: { type: 'files', source_path: './tree' } },
    destinations: { here: { type: 'local', path: './backups' } },
    jobs: { j: { datasources: ['tree'], destinations: ['here'] } },
  });
  pipe = space.path('pipe');
  execFileSync('mkfifo', [pipe]);
});
afterAll(() => space.remove());

/** Of the script $1 and $2 are the program, $3 is the pipe. */
function shell(script: string) {
  const child = spawn('sh', ['-c', script, 'sh', process.execPath, DGUARD, pipe], { cwd: space.folder });
  const said: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => said.push(chunk));
  const ended = new Promise<{ code: number | string | null; said: string }>((resolve) => {
    child.on('close', (code, signal) =>
      resolve({ code: signal ?? code, said: Buffer.concat(said).toString() }),
    );
  });
  return { child, ended };
}

describe('a configuration that is no file', () => {
  it.each([
    ['pipe', 'a named pipe'],
    ['socket', 'a socket'],
    ['/dev/null', 'a device'],
    ['.', 'a folder'],
  ])('%s is refused as %s, at once', async (path, what) => {
    const server = net.createServer();
    if (path === 'socket') await new Promise<void>((done) => server.listen(space.path('socket'), done));
    try {
      const named = await space.run('list', '-c', path);
      expect(named).toMatchObject({ code: 2, stderr: expect.stringContaining(`is ${what}, not a file`) });
      space.write('main.yaml', `version: 1\ninclude: ${path}\n`);
      const included = await space.run('config', 'validate', '-c', 'main.yaml');
      expect(included).toMatchObject({ code: 2, stderr: expect.stringContaining(`is ${what}, not a file`) });
      expect(included.stderr).toContain('main.yaml:2:');
    } finally {
      server.close();
    }
  });

  it.each([
    'cat backup.yaml | "$1" "$2" config validate -c /dev/stdin',
    '"$1" "$2" config validate -c /dev/stdin <backup.yaml',
    '{ cat backup.yaml | "$1" "$2" config validate -c /dev/fd/5 5<&0; }',
  ])('is read where a shell handed it over: %s', async (script) => {
    const { ended } = shell(script);
    expect(await ended).toMatchObject({ code: 0, said: expect.stringContaining(': valid') });
  });

  it.each(['config validate', 'list'])(
    '%s that waits for one to come is ended by a signal',
    async (command) => {
      // Open for writing, too, so that there is no end of it.
      const held = fs.openSync(pipe, 'r+');
      try {
        const { child, ended } = shell(`exec "$1" "$2" ${command} -c /dev/fd/5 5<"$3"`);
        await untilOpenTwice(child.pid!);
        child.kill('SIGTERM');
        expect((await ended).code).toSatisfy((code) => code === 143 || code === 'SIGTERM');
      } finally {
        fs.closeSync(held);
      }
    },
  );
});

/** Until the program reads: the shell's descriptor of the pipe, and the program's own one. */
async function untilOpenTwice(pid: number): Promise<void> {
  const leads = (fd: string) => {
    try {
      return fs.readlinkSync(`/proc/${pid}/fd/${fd}`) === fs.realpathSync(pipe);
    } catch {
      return false;
    }
  };
  while (fs.readdirSync(`/proc/${pid}/fd`).filter(leads).length < 2) await sleep(20);
}
