import { hash } from 'node:crypto';

/** One frame of the index as its parent's row describes it. */
export interface FrameRow {
  readonly section: 'artifacts' | 'blocks' | 'entries';
  /** 0: the frame holds lines; n: it holds rows of level n - 1. */
  readonly level: number;
  /** Whose index object holds the frame. */
  readonly origin: string;
  readonly offset: number;
  readonly stored: number;
  readonly length: number;
  readonly sha256: string;
  /** entries: the first line's path (a byte string). */
  readonly first?: string;
  /** blocks: the artifact and the number of the first block. */
  readonly artifact?: number;
  readonly block?: number;
  readonly lines: number;
  /** Content bytes of the entries beneath. */
  readonly bytes: number;
  /** Whose blocks and frames the entries beneath use. */
  readonly origins: readonly string[];
}

/** What a line contributes to its frame's row. */
export interface LineFacts {
  /** What decides where frames end: a path, or a continuation's first slice. */
  readonly key: string;
  /** One frame in this many lines ends, on average. */
  readonly every: number;
  readonly first?: string;
  readonly artifact?: number;
  readonly block?: number;
  readonly bytes: number;
  readonly origins: readonly string[];
}

/** Stores a frame's raw bytes (or finds them known) and calls back, in order, with where they are. */
export type StoreFrame = (raw: Buffer, sha256: string, done: (place: FramePlace) => void) => void;
export interface FramePlace {
  readonly origin: string;
  readonly offset: number;
  readonly stored: number;
}

/** A frame ends here at the latest; the next mark brings the cuts back to where they were. */
const MAX_RAW_BYTES = 128 * 1024;

interface Level {
  text: string[];
  bytes: number;
  facts: LineFacts[];
  /** On levels above 0: the row that each line is the text of. */
  rows: FrameRow[];
  ended: number;
}

/**
 * Builds one section of the index: lines into frames, the frames' rows into frames, and so on. Frames end
 * after a line whose key alone hashes to a mark, so that a change or an insertion moves no cut around it.
 */
export function createSection(
  section: FrameRow['section'],
  store: StoreFrame,
  rowText: (row: FrameRow) => string,
) {
  const levels: Level[] = [];

  function level(number: number): Level {
    levels[number] ??= { text: [], bytes: 0, facts: [], rows: [], ended: 0 };
    return levels[number]!;
  }

  function add(number: number, text: string, facts: LineFacts, row?: FrameRow): void {
    const here = level(number);
    here.text.push(text);
    here.bytes += text.length + 1;
    here.facts.push(facts);
    if (row) here.rows.push(row);
    if (isMark(facts.key, facts.every, number) || here.bytes >= MAX_RAW_BYTES) end(number);
  }

  function end(number: number): void {
    const { text, facts } = level(number);
    if (text.length === 0) return;
    levels[number] = { text: [], bytes: 0, facts: [], rows: [], ended: level(number).ended + 1 };
    const raw = Buffer.from(`${text.join('\n')}\n`);
    const sha256 = hash('sha256', raw, 'hex');
    const { first, artifact, block } = facts[0]!;
    store(raw, sha256, (place) => {
      const origins = new Set(facts.flatMap((fact) => fact.origins)).add(place.origin);
      const row: FrameRow = {
        section,
        level: number,
        ...place,
        length: raw.length,
        sha256,
        ...(first === undefined ? {} : { first }),
        ...(artifact === undefined ? {} : { artifact }),
        ...(block === undefined ? {} : { block }),
        lines: facts.length,
        bytes: facts.reduce((sum, fact) => sum + fact.bytes, 0),
        origins: [...origins].sort(),
      };
      add(number + 1, rowText(row), { ...row, key: rowKey(row), every: 64 }, row);
    });
  }

  return {
    add: (text: string, facts: LineFacts) => add(0, text, facts),
    /** Ends the open frame of lines: blocks of different artifacts share none. */
    endFrame: () => end(0),
    /**
     * The rows for the root: those of the first level whose rows all fit in one frame. `settled` waits
     * until every frame that was handed to `store` has its place.
     */
    async finish(settled: () => Promise<void>): Promise<readonly FrameRow[]> {
      end(0);
      for (let number = 1; ; number++) {
        await settled();
        if (level(number).ended === 0) return level(number).rows;
        end(number);
      }
    },
  };
}

function rowKey(row: FrameRow): string {
  return row.first ?? `${row.artifact ?? 0}:${row.block ?? 0}`;
}

/** FNV-1a with a final mix; only writers need it, readers follow the rows. */
function isMark(key: string, every: number, level: number): boolean {
  let h = 0x811c9dc5 ^ level;
  for (let i = 0; i < key.length; i++) h = Math.imul(h ^ key.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h ^= h >>> 13;
  return (h >>> 0) % every === 0;
}
