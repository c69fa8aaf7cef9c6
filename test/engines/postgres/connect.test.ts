import { createServer, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { connectionOf } from '../../../src/engines/postgres/server/connection.ts';
import { openDriverSession } from '../../../src/engines/postgres/server/session.ts';
import { DguardError } from '../../../src/errors.ts';

const sockets: Socket[] = [];
const silent = createServer((socket) => void sockets.push(socket.on('error', () => {})));
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  silent.close();
});

it('postgres: an abort ends a connect to a server that says nothing, at once', async () => {
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as { port: number };
  for (const ssl of ['prefer', 'disable'] as const) {
    const options = { host: '127.0.0.1', port, username: 'app', ssl };
    const connection = connectionOf(
      { ...options, database: [], all_databases: false, client_path: [], client_command: [] },
      'app',
    );
    const controller = new AbortController();
    const opened = openDriverSession(connection, 'app', controller.signal);
    setTimeout(() => controller.abort(new DguardError('interrupted', 'interrupted by SIGINT')), 300);
    const startedMs = performance.now();
    await expect(opened).rejects.toMatchObject({ code: 'interrupted', message: 'interrupted by SIGINT' });
    expect(performance.now() - startedMs).toBeLessThan(8000);
  }
});
