import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { retryDeadlocks } from '../../../src/engines/mysql/restore/deadlocks.ts';
import { openSession } from '../../../src/engines/mysql/server/session.ts';
import { DguardError } from '../../../src/errors.ts';

const sockets: Socket[] = [];
let greeting: Buffer = Buffer.alloc(0);
const silent = createServer((socket) => {
  sockets.push(socket.on('error', () => {}));
  socket.write(greeting);
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  silent.close();
});

/** https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html */
function hello(): Buffer {
  const capabilities = 0x00_0b_ff_ff & ~0x20;
  const payload = Buffer.concat([
    Buffer.from('\x0a8.0.0\0\x01\0\0\0saltsalt\0', 'latin1'),
    Buffer.from([capabilities & 0xff, capabilities >> 8, 45, 2, 0, capabilities >> 16, 0, 21]),
    Buffer.alloc(10),
    Buffer.from('saltsaltsalt\0mysql_native_password\0'),
  ]);
  return Buffer.concat([Buffer.from([payload.length, 0, 0, 0]), payload]);
}

it('mysql: an abort ends a connect to a server that says nothing, or nothing more, at once', async () => {
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as { port: number };
  for (const first of [Buffer.alloc(0), hello()]) {
    for (const ssl of ['prefer', 'disable'] as const) {
      greeting = first;
      const controller = new AbortController();
      const connection = { host: '127.0.0.1', port, user: 'u', password: 'p', ssl };
      const opened = openSession(connection, undefined, controller.signal);
      const heard = sleep(300).then(() => controller.abort(new DguardError('interrupted', 'by SIGINT')));
      const startedMs = performance.now();
      await expect(opened).rejects.toMatchObject({ code: 'interrupted', message: 'by SIGINT' });
      await heard;
      expect(performance.now() - startedMs).toBeLessThan(8000);
    }
  }
  // To the greeting TLS was begun, or a password sent.
  expect(sockets.map(({ bytesRead }) => bytesRead > 32)).toEqual([false, false, true, true]);
});

it('mysql: a deadlock is tried again after a pause that grows, and an abort ends the pause', async () => {
  const deadlock = Object.assign(new Error('Deadlock found'), { errno: 1213, sqlState: '40001' });
  const at: number[] = [];
  const { signal } = new AbortController();
  const run = (failures: number) => async () => {
    at.push(performance.now());
    if (at.length <= failures) throw deadlock;
  };
  await retryDeadlocks(run(3), signal);
  const pauses = at.slice(1).map((ms, n) => ms - at[n]!);
  // Half of 20, 40 and 80 ms at least, all of it at most; timers come late, never early (but for rounding).
  for (const [n, least] of [9, 19, 39].entries()) expect(pauses[n]).toBeGreaterThan(least);
  at.length = 0;
  await expect(retryDeadlocks(run(99), signal)).rejects.toBe(deadlock);
  expect(at).toHaveLength(5);
  at.length = 0;
  const other = new Error('a fault');
  await expect(retryDeadlocks(() => Promise.reject(other), signal)).rejects.toBe(other);
  const controller = new AbortController();
  const stopped = retryDeadlocks(async () => {
    controller.abort(new DguardError('interrupted', 'by SIGINT'));
    throw deadlock;
  }, controller.signal);
  await expect(stopped).rejects.toMatchObject({ code: 'interrupted' });
});
