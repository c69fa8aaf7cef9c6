import { connect, createServer, type Socket } from 'node:net';

/** A way to a server that can be cut at any statement (or command) of any connection, as if whoever sends them had died. */
export interface WireProxy {
  readonly port: number;
  /** The statements that came through since the first that counts, of all connections, in their order. */
  readonly statements: readonly string[];
  close(): Promise<void>;
}

export interface Cut {
  /** The number of the statement, from 1. */
  readonly at: number;
  /** Whether the server still gets it; where connections break then, its answer is lost. */
  readonly when: 'before' | 'after';
  /** Done at that moment, instead of a cut; it may cut all the same. */
  readonly act?: (sever: () => void) => void;
}

/** How an engine's clients speak to its server, unencrypted. */
export interface Wire {
  /** The length of the first message in these bytes of a client; undefined: it is not all there. */
  length(bytes: Buffer, isFirst: boolean): number | undefined;
  /** What a message asks of the server; undefined for one that is no statement. */
  statement(message: Buffer): string | undefined;
}

export interface ProxyOptions {
  /** The first statement that counts. */
  readonly since?: (statement: string) => boolean;
  readonly cut?: Cut | undefined;
  /** Of the statements that match, the first reaches the server only when the second was answered. */
  readonly late?: RegExp | undefined;
}

/** A cut that breaks connections breaks them all, and lets no new one through. */
export async function openProxy(port: number, wire: Wire, options: ProxyOptions = {}): Promise<WireProxy> {
  const { since = () => true, cut, late } = options;
  const statements: string[] = [];
  const sockets = new Set<Socket>();
  let severed = false;
  const sever = () => {
    severed = true;
    for (const socket of sockets) socket.destroy();
  };
  const act = cut?.act ?? (() => sever());
  let matched = 0;
  let release = () => {};
  const answered = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = createServer((client) => {
    if (severed) return void client.destroy();
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    let actsOnAnswer = false;
    let releasesOnAnswer = false;
    upstream.on('data', (bytes) => {
      if (actsOnAnswer) act(sever);
      actsOnAnswer = false;
      if (severed) return;
      client.write(bytes);
      if (releasesOnAnswer) release();
    });
    /** Whether the statement may go on to the server. */
    const passes = (statement: string): boolean => {
      if (statements.length === 0 && !since(statement)) return true;
      statements.push(statement);
      if (statements.length !== cut?.at) return true;
      if (cut.when === 'after') actsOnAnswer = true;
      else act(sever);
      return !severed;
    };
    let held: Promise<void> | undefined;
    let pending: Buffer = Buffer.alloc(0);
    let isFirst = true;
    client.on('data', (bytes: Buffer) => {
      pending = pending.length === 0 ? bytes : Buffer.concat([pending, bytes]);
      while (!severed) {
        const length = wire.length(pending, isFirst);
        if (length === undefined || pending.length < length) return;
        const message = pending.subarray(0, length);
        pending = pending.subarray(length);
        isFirst = false;
        const statement = wire.statement(message);
        if (statement !== undefined) {
          if (!passes(statement)) return;
          const match = late?.test(statement) === true ? ++matched : 0;
          if (match === 1) held = answered;
          releasesOnAnswer = match === 2;
        }
        if (held === undefined) upstream.write(message);
        else void held.then(() => upstream.write(message));
      }
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
