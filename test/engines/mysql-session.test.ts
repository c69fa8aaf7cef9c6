import type { AddressInfo, Server } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import mysql from 'mysql2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openSession, type Session } from '../../src/engines/mysql/server/session.ts';

/** A server within this process: what a session keeps is all that is asked here. */
const RESULT_BYTES = 500_000;

interface ServerSide {
  serverHandshake(options: object): void;
  on(event: 'query' | 'stmt_prepare' | 'error', listener: (sql: string) => void): void;
  writeOk(): void;
  writeTextResult(rows: readonly object[], columns: readonly object[]): void;
}

interface DriverServer {
  readonly _server: Server;
  listen(port: number, host: string, done: () => void): void;
  close(): void;
  on(event: 'connection', listener: (side: ServerSide) => void): void;
}

const server = (mysql as unknown as { createServer(): DriverServer }).createServer();
server.on('connection', (side) => {
  side.serverHandshake({
    protocolVersion: 10,
    serverVersion: '8.0.0',
    connectionId: 1,
    statusFlags: 2,
    characterSet: 45,
    capabilityFlags: 0xffffff & ~0x800,
  });
  side.on('error', () => {});
  side.on('stmt_prepare', () => side.writeOk());
  side.on('query', (sql) => {
    if (!sql.startsWith('SELECT')) return side.writeOk();
    const columns = [
      {
        catalog: 'def',
        schema: '',
        name: 'v',
        orgName: 'v',
        table: '',
        orgTable: '',
        characterSet: 45,
        columnLength: RESULT_BYTES,
        columnType: 253,
        flags: 0,
        decimals: 0,
      },
    ];
    side.writeTextResult([{ v: 'x'.repeat(RESULT_BYTES) }], columns);
  });
});

let session: Session;
const stop = new AbortController();
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server._server.address() as AddressInfo;
  const connection = { host: '127.0.0.1', port, user: 'u', password: 'p', ssl: 'disable' };
  session = await openSession(connection as Parameters<typeof openSession>[0], undefined, stop.signal);
}, 10_000);
afterAll(() => server.close());

test('a session keeps nothing of what it was answered', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const held = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const ask = async () => {
    const [row] = await session.rows<{ v: string }>('SELECT v');
    expect(row!.v).toHaveLength(RESULT_BYTES);
  };
  await ask();
  const before = held();
  for (let i = 0; i < 40; i++) await ask();
  expect(held() - before).toBeLessThan(10 * RESULT_BYTES);
});

test('an abort ends what is asked, and what is asked afterwards', async () => {
  const asked = session.rows('SELECT v');
  stop.abort();
  await expect(asked).rejects.toThrow(/interrupted/);
  await expect(session.run('DO 0')).rejects.toThrow(/interrupted/);
});
