import { connect, createServer, type Socket } from 'node:net';

/** A way to a server that can be cut at any statement, as if whoever sends them had died. */
export interface Proxy {
  readonly port: number;
  /** The statements that came through since one contained the trigger's text. */
  readonly statements: readonly string[];
  close(): Promise<void>;
}

export interface Cut {
  /** The number of the statement, from the first that contains `trigger`. */
  readonly at: number;
  /** Whether the server still gets it. */
  readonly when: 'before' | 'after';
  /** Done at that moment, instead of a cut. */
  readonly act?: () => void;
}

/** https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query.html: length, number, 3, text. */
const COM_QUERY = 3;

/** Unencrypted connections only. */
export async function openProxy(port: number, trigger: string, cut?: Cut): Promise<Proxy> {
  const statements: string[] = [];
  const sockets = new Set<Socket>();
  let severed = false;
  const sever = () => {
    severed = true;
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
      if (silent && cut?.act === undefined) return sever();
      if (silent) cut?.act?.();
      silent = false;
      client.write(bytes);
    });
    client.on('data', (bytes) => {
      if (severed) return;
      if (bytes[3] === 0 && bytes[4] === COM_QUERY) {
        const text = bytes.toString('utf8', 5);
        if (statements.length > 0 || text.includes(trigger)) statements.push(text);
        if (cut !== undefined && statements.length === cut.at) {
          if (cut.when === 'after') silent = true;
          else if (cut.act === undefined) return sever();
          else cut.act();
        }
      }
      upstream.write(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    statements,
    close: async () => {
      sever();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
