import { closeSync, write } from 'node:fs';
import {
  DIRECT_BYTES,
  giveBackRoom,
  openDirectSync,
  ROOM_BYTES,
  refusesDirect,
  takeRoom,
} from '../../direct-io.ts';
import { copyShared } from '../../threads.ts';

/** Writes large files beside this thread, a few pieces at a time, past the page cache where the system can. */
export interface WriteBehind {
  /** A file that is open for writing, and empty. */
  open(fd: number, path: string | Buffer): LargeFile;
  /** As many writes as may be are under way, or something failed: `ready` is to be awaited. */
  readonly full: boolean;
  /** Until one more write may begin. Throws the first failure, of whichever file. */
  ready(): Promise<void>;
  /** Until nothing uses any file any more. */
  idle(): Promise<void>;
}

export interface LargeFile {
  /** Copies what is next in the file. */
  write(bytes: Uint8Array): void;
  /**
   * Nothing more comes. `close` is called once nothing uses the descriptor any more, perhaps at once; `whole`: all
   * that came was written. What it throws is a failure of `ready`.
   */
  end(close: (whole: boolean) => void): void;
}

/** Each holds a room; together they keep the disk at work. */
const MAX_WRITES = 4;

export function createWriteBehind(): WriteBehind {
  let underWay = 0;
  let failure: { readonly error: unknown } | undefined;
  let wake = () => {};
  const until = async (reached: () => boolean) => {
    while (!reached()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  const fail = (error: unknown) => {
    failure ??= { error };
  };

  function open(fd: number, path: string | Buffer): LargeFile {
    const direct = openDirectSync(path);
    let room: Buffer | undefined;
    let filled = 0;
    let position = 0;
    let writes = 0;
    let whole = true;
    let over: (() => void) | undefined;

    const begin = (room: Buffer, length: number, at: number) => {
      underWay += 1;
      writes += 1;
      writeAll(fd, direct, room.subarray(0, length), at, (error) => {
        underWay -= 1;
        writes -= 1;
        giveBackRoom(room);
        if (error !== null) {
          whole = false;
          fail(error);
        }
        if (writes === 0) over?.();
        wake();
      });
    };
    const flush = () => {
      if (room === undefined) return;
      begin(room, filled, position);
      position += filled;
      room = undefined;
      filled = 0;
    };
    return {
      write(bytes) {
        for (let at = 0; at < bytes.length; ) {
          room ??= takeRoom();
          const part = bytes.subarray(at, at + ROOM_BYTES - filled);
          copyShared(room.subarray(filled), part);
          filled += part.length;
          at += part.length;
          if (filled === ROOM_BYTES) flush();
        }
      },
      end(close) {
        flush();
        over = () => {
          try {
            if (direct !== undefined) closeSync(direct);
          } catch (error) {
            whole = false;
            fail(error);
          }
          try {
            close(whole);
          } catch (error) {
            fail(error);
          }
        };
        if (writes === 0) over();
      },
    };
  }

  return {
    open,
    get full() {
      return underWay >= MAX_WRITES || failure !== undefined;
    },
    async ready() {
      await until(() => underWay < MAX_WRITES || failure !== undefined);
      if (failure !== undefined) throw failure.error;
    },
    idle: () => until(() => underWay === 0),
  };
}

/** Past the page cache as far as that goes: an odd end, and what a full disk does not take, cannot. */
function writeAll(
  fd: number,
  direct: number | undefined,
  bytes: Buffer,
  position: number,
  done: (error: NodeJS.ErrnoException | null) => void,
): void {
  const rest = (from: number) => {
    if (from === bytes.length) return done(null);
    write(fd, bytes, from, bytes.length - from, position + from, (error, count) => {
      if (error !== null) done(error);
      else rest(from + count);
    });
  };
  const length = bytes.length - (bytes.length % DIRECT_BYTES);
  if (direct === undefined || length === 0) {
    rest(0);
    return;
  }
  write(direct, bytes, 0, length, position, (error, count) => {
    if (error !== null && !refusesDirect(error)) done(error);
    else rest(error === null ? count : 0);
  });
}
