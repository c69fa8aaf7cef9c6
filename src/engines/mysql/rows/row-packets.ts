import type { Connection, Query } from 'mysql2';

/**
 * The packets of a query's rows, past the driver: it makes an object of every row, which costs as much as all else.
 * All other packets (the columns, an error, the end of the rows, what is larger than one packet) stay the driver's.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html
 */

const HEADER_BYTES = 4;
/** A payload of that size goes on in the next packet. */
const MAX_PAYLOAD_BYTES = 0xffffff;
/** A row begins with a smaller one: from here on it is an end of rows, or an error. */
const NO_ROW = 0xfe;

/** What the driver has, and its types do not mention. */
interface Driver {
  packetParser: { execute(chunk: Buffer): void };
  sequenceId: number;
}
interface Command {
  /** Null: it has not begun. */
  readonly next: unknown;
  start(packet: unknown, connection: unknown): unknown;
  row(packet: RowPacket, connection: unknown): unknown;
}
interface RowPacket {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly end: number;
  isEOF(): boolean;
}

/** Turns rows into bytes of a dump, which it hands on in chunks. */
export interface RowEncoder {
  /**
   * One row of the server's text protocol: every value as its length and its bytes, in `bytes[from…to)`, which
   * are valid during the call.
   * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_row.html
   */
  row(bytes: Buffer, from: number, to: number): void;
  /**
   * Whole packets with a row each, headers included, the first of that sequence number: as many of `bytes[from…to)` as
   * it can. The others are its `row`s.
   */
  packets?(bytes: Buffer, from: number, to: number, sequence: number): TakenPackets;
  /** Hands on what is left. */
  end(): void;
}

export interface TakenPackets {
  /** The place behind the last. */
  readonly pos: number;
  readonly rows: number;
}

/**
 * Hands the rows of a query that was just sent, or waits for its turn, to the encoder. Returns what gives the connection back to the driver,
 * to be called when the query has ended. `fail`: the encoder threw; nothing that comes is looked at any more.
 */
export function takePackets(
  client: Connection,
  command: Query,
  encoder: RowEncoder,
  fail: (error: unknown) => void,
): () => void {
  const driver = client as unknown as Driver;
  const hooked = command as unknown as Command;
  const { packetParser: parser } = driver;
  const { start, row } = hooked;
  let inRows = false;
  /** Packets of one payload, which the driver joins. */
  let joining = false;
  /** The beginning of a packet whose end has not come. */
  let held: Buffer[] = [];
  let heldBytes = 0;

  const giveBack = () => {
    if (driver.packetParser === mine) driver.packetParser = parser;
  };
  const packet = (bytes: Buffer, from: number, to: number) => {
    const isWhole = to - from < HEADER_BYTES + MAX_PAYLOAD_BYTES;
    const isNext = bytes[from + 3] === driver.sequenceId && to - from > HEADER_BYTES;
    if (inRows && !joining && isWhole && isNext && bytes[from + HEADER_BYTES]! < NO_ROW) {
      encoder.row(bytes, from + HEADER_BYTES, to);
      driver.sequenceId = (driver.sequenceId + 1) & 0xff;
    } else {
      joining = !isWhole;
      parser.execute(bytes.subarray(from, to));
      inRows = hooked.next === hooked.row;
    }
  };
  /** Returns where it stopped: before the end stand only bytes of a packet that is not whole. */
  const packets = (bytes: Buffer, from: number): number => {
    let pos = from;
    while (bytes.length - pos >= HEADER_BYTES) {
      if (driver.packetParser !== mine) break;
      if (inRows && !joining && encoder.packets !== undefined) {
        const taken = encoder.packets(bytes, pos, bytes.length, driver.sequenceId);
        driver.sequenceId = (driver.sequenceId + taken.rows) & 0xff;
        const went = taken.pos > pos;
        pos = taken.pos;
        if (went) continue;
      }
      const end = pos + HEADER_BYTES + bytes.readUIntLE(pos, 3);
      if (end > bytes.length) break;
      packet(bytes, pos, end);
      pos = end;
    }
    return pos;
  };
  /** As many of these bytes as the packet that has begun lacks. */
  const complete = (bytes: Buffer): number => {
    let taken = 0;
    const take = (wanted: number) => {
      const part = bytes.subarray(taken, taken + Math.max(0, wanted - heldBytes));
      held.push(part);
      taken += part.length;
      heldBytes += part.length;
      return heldBytes >= wanted;
    };
    if (!take(HEADER_BYTES)) return taken;
    if (held[0]!.length < HEADER_BYTES) held = [Buffer.concat(held)];
    if (!take(HEADER_BYTES + held[0]!.readUIntLE(0, 3))) return taken;
    const whole = Buffer.concat(held);
    held = [];
    heldBytes = 0;
    packets(whole, 0);
    return taken;
  };
  const mine = {
    execute(chunk: Buffer) {
      try {
        const pos = packets(chunk, heldBytes > 0 ? complete(chunk) : 0);
        if (pos === chunk.length) return;
        if (driver.packetParser !== mine) driver.packetParser.execute(chunk.subarray(pos));
        else {
          held = [chunk.subarray(pos)];
          heldBytes = chunk.length - pos;
        }
      } catch (error) {
        giveBack();
        fail(error);
      }
    },
  };
  const begin = () => {
    driver.packetParser = mine;
  };
  if (hooked.next !== null) begin();
  hooked.start = function begun(this: unknown, ...call) {
    begin();
    return start.apply(this, call);
  };
  // The driver asks the command itself what to do with a row: such as it joined, and the end.
  hooked.row = function next(this: unknown, one, connection): unknown {
    if (one.isEOF()) {
      giveBack();
      return row.call(this, one, connection);
    }
    encoder.row(one.buffer, one.offset, one.end);
    return next;
  };
  return giveBack;
}
