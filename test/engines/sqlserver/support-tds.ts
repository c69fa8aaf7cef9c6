import { createServer, type Server, type Socket } from 'node:net';

/**
 * A listener that speaks as much of TDS as a driver needs to log in, send batches and read answers
 * ([MS-TDS], https://learn.microsoft.com/openspecs/windows_protocols/ms-tds). It is no SQL Server: what it
 * answers, a test says. It shows what dguard sends, and what dguard makes of errors, rows and silence.
 */
export interface TdsListener {
  readonly port: number;
  /** The batches that came, in their order. */
  readonly batches: readonly string[];
  /** Logins that came, that is to say passwords that were sent. */
  readonly logins: number;
  stop(): Promise<void>;
}

export type Cell = string | number | boolean | null;
export interface Answer {
  readonly rows?: readonly Readonly<Record<string, Cell>>[];
  readonly errors?: readonly { readonly number: number; readonly message: string }[];
  /** Ends the connection in the middle. */
  readonly hangUp?: boolean;
  /** Never answers. */
  readonly silent?: boolean;
}

export interface TdsOptions {
  /** 0 off, 1 on, 2 not supported, 3 required. */
  readonly encryption?: number;
  readonly login?: Answer;
  readonly answer?: (batch: string) => Answer | undefined;
}

const PRELOGIN = 0x12;
const LOGIN7 = 0x10;
const BATCH = 0x01;
const RPC = 0x03;
const ATTENTION = 0x06;

export async function startTds(options: TdsOptions = {}): Promise<TdsListener> {
  const batches: string[] = [];
  const sockets = new Set<Socket>();
  let logins = 0;
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    let held = Buffer.alloc(0);
    let message: Buffer[] = [];
    socket.on('data', (chunk) => {
      held = Buffer.concat([held, chunk]);
      while (held.length >= 8 && held.length >= held.readUInt16BE(2)) {
        const length = held.readUInt16BE(2);
        const [type, status] = [held[0]!, held[1]!];
        message.push(held.subarray(8, length));
        held = held.subarray(length);
        if ((status & 1) === 0) continue;
        const body = Buffer.concat(message);
        message = [];
        receive(socket, type, body);
      }
    });
  });

  function receive(socket: Socket, type: number, body: Buffer): void {
    if (type === PRELOGIN) send(socket, preloginAnswer(options.encryption ?? 2));
    else if (type === LOGIN7) {
      logins++;
      const answer = options.login ?? {};
      reply(socket, answer, answer.errors === undefined ? [loginAck()] : []);
    } else if (type === ATTENTION) send(socket, done(0x20));
    else if (type === BATCH || type === RPC) {
      const text =
        type === BATCH ? body.subarray(body.readUInt32LE(0)).toString('utf16le') : body.toString('utf16le');
      batches.push(text);
      reply(socket, options.answer?.(text) ?? {});
    }
  }

  function reply(socket: Socket, answer: Answer, before: Buffer[] = []): void {
    if (answer.silent) return;
    const tokens = [...before, ...(answer.errors ?? []).map(errorToken)];
    if (answer.rows !== undefined) tokens.push(rowTokens(answer.rows));
    if (answer.hangUp) {
      socket.end(packet(Buffer.concat(tokens)).subarray(0, 20));
      return;
    }
    send(socket, Buffer.concat([...tokens, done(answer.errors === undefined ? 0x10 : 0x02)]));
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    batches,
    get logins() {
      return logins;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A message in packets of the size that every driver begins with. */
function send(socket: Socket, body: Buffer): void {
  const size = 4096 - 8;
  for (let at = 0; at === 0 || at < body.length; at += size) {
    const last = at + size >= body.length;
    if (!socket.destroyed) socket.write(packet(body.subarray(at, at + size), last));
  }
}

function packet(body: Buffer, last = true): Buffer {
  const header = Buffer.alloc(8);
  header[0] = 0x04;
  header[1] = last ? 1 : 0;
  header.writeUInt16BE(body.length + 8, 2);
  return Buffer.concat([header, body]);
}

function preloginAnswer(encryption: number): Buffer {
  // VERSION at 11, six bytes; ENCRYPTION at 17, one byte; the end.
  return Buffer.from([0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xff, 16, 0, 0x10, 0x00, 0, 0, encryption]);
}

function loginAck(): Buffer {
  const body = Buffer.concat([
    Buffer.from([1, 0x74, 0, 0, 4]),
    shortText('Test'),
    Buffer.from([16, 0, 16, 0]),
  ]);
  return Buffer.concat([Buffer.from([0xad]), uint16(body.length), body]);
}

function errorToken({ number, message }: { number: number; message: string }): Buffer {
  const code = Buffer.alloc(4);
  code.writeInt32LE(number);
  const body = Buffer.concat([
    code,
    Buffer.from([1, 16]),
    uint16(message.length),
    Buffer.from(message, 'utf16le'),
    shortText('test'),
    shortText(''),
    Buffer.from([1, 0, 0, 0]),
  ]);
  return Buffer.concat([Buffer.from([0xaa]), uint16(body.length), body]);
}

/** Text as nvarchar(4000), numbers as int, flags as bit; all of them may be null. */
function rowTokens(rows: readonly Readonly<Record<string, Cell>>[]): Buffer {
  const names = Object.keys(rows[0] ?? { none: null });
  const typeOf = (name: string) => {
    const value = rows.map((row) => row[name]).find((each) => each !== null && each !== undefined);
    return typeof value === 'number' ? 'int' : typeof value === 'boolean' ? 'bit' : 'text';
  };
  const parts: Buffer[] = [Buffer.from([0x81]), uint16(names.length)];
  for (const name of names) {
    parts.push(Buffer.from([0, 0, 0, 0, 1, 0]));
    const type = typeOf(name);
    if (type === 'int') parts.push(Buffer.from([0x26, 4]));
    else if (type === 'bit') parts.push(Buffer.from([0x68, 1]));
    else parts.push(Buffer.from([0xe7, 0x40, 0x1f, 9, 4, 0xd0, 0, 0x34]));
    parts.push(shortText(name));
  }
  for (const row of rows) {
    parts.push(Buffer.from([0xd1]));
    for (const name of names) {
      const value = row[name] ?? null;
      const type = typeOf(name);
      if (type === 'text') {
        if (value === null) parts.push(uint16(0xffff));
        else {
          const text = Buffer.from(String(value), 'utf16le');
          parts.push(uint16(text.length), text);
        }
      } else if (value === null) parts.push(Buffer.from([0]));
      else if (type === 'bit') parts.push(Buffer.from([1, value ? 1 : 0]));
      else {
        const number = Buffer.alloc(4);
        number.writeInt32LE(Number(value));
        parts.push(Buffer.from([4]), number);
      }
    }
  }
  return Buffer.concat(parts);
}

function done(status: number): Buffer {
  const token = Buffer.alloc(13);
  token[0] = 0xfd;
  token.writeUInt16LE(status, 1);
  return token;
}

function shortText(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text, 'utf16le')]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}
