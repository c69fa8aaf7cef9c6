import { connect, createServer, type Socket } from 'node:net';
import { elements } from '../../../src/engines/mongodb/bson/bson.ts';

/** A way to a server that can be cut at any command that writes, as if whoever sends them had died. */
export interface Proxy {
  readonly port: number;
  /** The commands that came through since the first on the collection of marks: `insert __dguard`, `drop users`. */
  readonly commands: readonly string[];
  close(): Promise<void>;
}

export interface Cut {
  /** The number of the command, from 1. */
  readonly at: number;
  /** Whether the server still gets it. */
  readonly when: 'before' | 'after';
  /** Done at that moment, instead of a cut. */
  readonly act?: () => void;
}

const WRITES = [
  'insert',
  'update',
  'delete',
  'create',
  'createIndexes',
  'renameCollection',
  'drop',
  'dropDatabase',
];
/** https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#op_msg: header, flags, kind, document. */
const OP_MSG = 2013;
const HEADER_BYTES = 16;

/**
 * @param late of the commands that match, the first reaches the server only when the second was answered
 */
export async function openProxy(port: number, cut?: Cut, late?: RegExp): Promise<Proxy> {
  let matched = 0;
  let release = () => {};
  const answered = new Promise<void>((resolve) => {
    release = resolve;
  });
  const commands: string[] = [];
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
    let isSecond = false;
    let turn = Promise.resolve();
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
      if (isSecond) release();
    });
    let pending = Buffer.alloc(0);
    client.on('data', (bytes) => {
      pending = Buffer.concat([pending, bytes]);
      while (!severed && pending.length >= 4 && pending.length >= pending.readInt32LE(0)) {
        const message = pending.subarray(0, pending.readInt32LE(0));
        pending = pending.subarray(message.length);
        const command = commandOf(message);
        if (command !== undefined && (commands.length > 0 || command.endsWith(' __dguard'))) {
          commands.push(command);
          if (cut !== undefined && commands.length === cut.at) {
            if (cut.when === 'after') silent = true;
            else if (cut.act === undefined) return sever();
            else cut.act();
          }
        }
        const isLate = command !== undefined && late?.test(command) === true && ++matched === 1;
        isSecond = matched === 2 && command !== undefined && late?.test(command) === true;
        if (isLate) turn = answered;
        const send = Buffer.from(message);
        void turn.then(() => upstream.write(send));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    commands,
    close: async () => {
      sever();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A command that writes, with what it writes to; undefined for any other message. */
function commandOf(message: Buffer): string | undefined {
  if (message.readInt32LE(12) !== OP_MSG || message[HEADER_BYTES + 4] !== 0) return undefined;
  for (const { name, start, end } of elements(message, HEADER_BYTES + 5)) {
    if (!WRITES.includes(name)) return undefined;
    return `${name} ${message.toString('utf8', start + 4, end - 1)}`;
  }
  return undefined;
}
