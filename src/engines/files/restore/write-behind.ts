import { closeSync, write } from 'node:fs';
import {
  DIRECT_BYTES,
  giveBackRoom,
  openDirectAgain,
  ROOM_BYTES,
  refusesDirect,
  TAKES_NO_MORE,
  takeRoom,
} from '../../../direct-io.ts';
import { copyShared } from '../../../threads.ts';

/** Writes large files beside this thread, a few pieces at a time, past the page cache where the system can. */
export interface WriteBehind {
  /** A file that is open for writing, and empty. */
  open(fd: number): LargeFile;
  /** As much as may wait does, or something failed: `ready` is to be awaited. */
  readonly full: boolean;
  /** Until there is room for more. Throws the first failure, of whichever file. */
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

/** Of all files; each holds a room. */
const MAX_PIECES = 4;

interface Piece {
  readonly room: Buffer;
  readonly length: number;
  readonly position: number;
}

export function createWriteBehind(): WriteBehind {
  let pieces = 0;
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

  function open(fd: number): LargeFile {
    const writeAll = createWriter(fd);
    let room: Buffer | undefined;
    let filled = 0;
    let position = 0;
    let whole = true;
    let over: (() => void) | undefined;
    /** The first is being written: one after the other, as some file systems want it and all do it anyway. */
    const waiting: Piece[] = [];

    const next = () => {
      const piece = waiting[0];
      if (piece === undefined) return over?.();
      const { room, length, position } = piece;
      writeAll(room.subarray(0, length), position, (error) => {
        waiting.shift();
        pieces -= 1;
        giveBackRoom(room);
        if (error !== null) {
          whole = false;
          fail(error);
        }
        next();
        wake();
      });
    };
    const flush = () => {
      if (room === undefined) return;
      pieces += 1;
      waiting.push({ room, length: filled, position });
      position += filled;
      room = undefined;
      filled = 0;
      if (waiting.length === 1) next();
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
            writeAll.close();
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
        if (waiting.length === 0) over();
      },
    };
  }

  return {
    open,
    get full() {
      return pieces >= MAX_PIECES || failure !== undefined;
    },
    async ready() {
      await until(() => pieces < MAX_PIECES || failure !== undefined);
      if (failure !== undefined) throw failure.error;
    },
    idle: () => until(() => pieces === 0),
  };
}

type Done = (error: Error | null) => void;

/** Writes past the page cache as far as that goes: an odd end, and what a full disk does not take, cannot. */
function createWriter(fd: number) {
  const direct = openDirectAgain(fd);
  let refused = direct === undefined;

  function throughCache(bytes: Buffer, from: number, position: number, done: Done): void {
    if (from === bytes.length) {
      done(null);
      return;
    }
    write(fd, bytes, from, bytes.length - from, position + from, (error, count) => {
      if (error !== null) done(error);
      else if (count === 0) done(new Error(TAKES_NO_MORE));
      else throughCache(bytes, from + count, position, done);
    });
  }

  const writeAll = (bytes: Buffer, position: number, done: Done): void => {
    const length = bytes.length - (bytes.length % DIRECT_BYTES);
    if (direct === undefined || refused || length === 0) {
      throughCache(bytes, 0, position, done);
      return;
    }
    write(direct, bytes, 0, length, position, (error, count) => {
      if (error === null) throughCache(bytes, count, position, done);
      else if (refusesDirect(error)) {
        refused = true;
        throughCache(bytes, 0, position, done);
      } else done(error);
    });
  };
  writeAll.close = () => {
    if (direct !== undefined) closeSync(direct);
  };
  return writeAll;
}
