import { connect, createServer, type Socket } from 'node:net';

/** A way to a server that can be cut at any statement of any connection, as if whoever sends them had died. */
export interface Proxy {
  readonly port: number;
  /** The statements that came through, of all connections, in their order. */
  readonly statements: readonly string[];
  close(): Promise<void>;
}

export interface Cut {
  /** The number of the statement, from 1. */
  readonly at: number;
  /** Whether the server still gets it (and its answer is lost). */
  readonly when: 'before' | 'after';
  /** Done at the moment of the cut; undefined: all connections break, and no new one is let through. */
  readonly act?: () => void;
}

/** Unencrypted connections only. https://www.postgresql.org/docs/current/protocol-message-formats.html */
export async function openPostgresProxy(port: number, cut?: Cut): Promise<Proxy> {
  const statements: string[] = [];
  const sockets = new Set<Socket>();
  let severed = false;
  const sever = () => {
    if (severed) return;
    severed = true;
    cut?.act?.();
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    if (severed) return void client.destroy();
    const upstream = connect(port, '127.0.0.1');
    let silent = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.on('data', (bytes) => {
      if (silent) sever();
      else client.write(bytes);
    });
    let pending: Buffer = Buffer.alloc(0);
    let started = false;
    client.on('data', (bytes: Buffer) => {
      pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes]);
      for (;;) {
        // The first message has no type; every length counts itself.
        const head = started ? 1 : 0;
        if (severed || pending.length < head + 4) return;
        const end = head + pending.readUInt32BE(head);
        if (pending.length < end) return;
        const message = pending.subarray(0, end);
        pending = pending.subarray(end);
        if (started && message[0] === 'Q'.charCodeAt(0)) {
          statements.push(message.toString('utf8', 5, end - 1));
          if (cut !== undefined && statements.length === cut.at) {
            if (cut.when === 'before') return sever();
            silent = true;
          }
        }
        started = true;
        upstream.write(message);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    statements,
    close: async () => {
      severed = true;
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
