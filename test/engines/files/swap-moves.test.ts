import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSwap, discardSwap, exchange, revert, swapIn } from '../../../src/engines/files/swap/swap.ts';
import { moveBack } from '../../../src/engines/files/swap/swap-moves.ts';
import { type SwapStep, writePlan } from '../../../src/engines/files/swap/swap-plan.ts';
import type { Target } from '../../../src/engines/files/target.ts';

const AT = new Date('2026-03-01T00:00:00Z');
/** Of a folder that its owner may not write to: it is not moved as it is. */
const CLOSED = { oldMode: 0o555, newMode: 0o555 } as const;
const REPLACED: SwapStep = { do: 'move', path: 'd', old: true, new: true, ...CLOSED };
const FRESH: SwapStep = { do: 'move', path: 'fresh', old: false, new: true };
const PLAN = 'plan-1.jsonl';

let root: string;
let target: string;
beforeEach(() => {
  root = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'dguard-moves-')));
  target = join(root, 'target');
  closedFolder(join(target, 'd'), 'old');
});
afterEach(() => {
  for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true }))
    if (entry.isDirectory()) fs.chmodSync(join(entry.parentPath, entry.name), 0o700);
  fs.rmSync(root, { recursive: true });
});

function closedFolder(path: string, text: string): void {
  fs.mkdirSync(path, { recursive: true });
  fs.writeFileSync(join(path, 'file'), text);
  fs.chmodSync(path, 0o555);
}

const contentOf = (path: string) => fs.readFileSync(join(path, 'd/file'), 'utf8');
const modeOf = (path: string) => fs.statSync(path).mode & 0o7777;

/** A swap with `d` and `fresh` staged, and where what it replaces goes. */
function staged() {
  const one: Target = {
    entry: '',
    kind: 'directory',
    path: target,
    state: 'occupied',
    mode: 'merge',
    place: 'beside',
  };
  const swap = createSwap([one], 'full-x', AT);
  const { data, member } = swap.stagings[0]!;
  closedFolder(join(data, 'd'), 'new');
  fs.writeFileSync(join(data, 'fresh'), 'new');
  return { swap, data, member, kept: join(member.folder, 'data') };
}

describe('the moves of a files restore', () => {
  it('give folders that their owner may not write to their modes, and what was there its own', () => {
    const { swap, kept } = staged();
    expect(swapIn(swap, () => [REPLACED, FRESH], AT, undefined)).toHaveLength(1);
    expect([contentOf(target), contentOf(kept)]).toEqual(['new', 'old']);
    expect([modeOf(join(target, 'd')), modeOf(join(kept, 'd'))]).toEqual([0o555, 0o555]);
  });

  it('do not replace what comes up between plan and move, and take back what was moved, with its mode', () => {
    const { swap } = staged();
    function* steps() {
      yield REPLACED;
      yield FRESH;
      fs.writeFileSync(join(target, 'fresh'), 'theirs');
    }
    expect(() => swapIn(swap, steps, AT, undefined)).toThrow('something came up at the target');
    discardSwap(swap);
    expect(fs.readFileSync(join(target, 'fresh'), 'utf8')).toBe('theirs');
    expect([contentOf(target), modeOf(join(target, 'd'))]).toEqual(['old', 0o555]);
    expect(fs.readdirSync(root)).toEqual(['target']);
  });

  it('give a mode back that was opened for a move which was not made', () => {
    const { member } = staged();
    writePlan(member.folder, PLAN, [REPLACED]);
    fs.chmodSync(join(target, 'd'), 0o755);
    moveBack({ member, plan: PLAN, incoming: 'new', outgoing: 'data' }, undefined);
    expect([contentOf(target), modeOf(join(target, 'd'))]).toEqual(['old', 0o555]);
  });

  it('that fail, and fail to be taken back, leave all there is for a later command', () => {
    const { swap, data, member, kept } = staged();
    writePlan(member.folder, PLAN, [REPLACED, FRESH]);
    const fail = () => {
      closedFolder(join(data, 'd'), 'in the way');
      throw new Error('no room');
    };
    expect(() => exchange(swap.unit, 'swapping', 1, AT, undefined, fail)).toThrow(
      /the swap failed \(no room\), and so did taking it back \(something came up/,
    );
    discardSwap(swap);
    expect([contentOf(target), contentOf(kept)]).toEqual(['new', 'old']);

    fs.chmodSync(join(data, 'd'), 0o755);
    fs.rmSync(join(data, 'd'), { recursive: true });
    revert(swap.unit, 'swapping', undefined);
    expect([contentOf(target), modeOf(join(target, 'd'))]).toEqual(['old', 0o555]);
    discardSwap(swap);
    expect(fs.readdirSync(root)).toEqual(['target']);
  });
});
