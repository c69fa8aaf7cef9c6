import type { AddressInfo, Server, Socket } from 'node:net';
import mysql from 'mysql2';
import { openSession, type Session } from '../../../src/engines/mysql/server/session.ts';

/** One connection to the server that mysql2 brings along; its types leave these out. */
export interface ServerSide {
  readonly stream: Socket;
  sequenceId: number;
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

/**
 * A server within this process, for what no real one does when asked: `onSelect` answers each SELECT, anything else
 * is done at once. For the driver's side of a session; rows that real servers send are tested against real ones.
 */
export async function driverServer(onSelect: (side: ServerSide) => void | Promise<void>) {
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
      if (sql.startsWith('SELECT')) void onSelect(side);
      else side.writeOk();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server._server.address() as AddressInfo;
  const connection = { host: '127.0.0.1', port, user: 'u', password: 'p', ssl: 'disable' };
  return {
    open: (signal: AbortSignal): Promise<Session> =>
      openSession(connection as Parameters<typeof openSession>[0], undefined, signal),
    close: () => server.close(),
  };
}
