import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { dguard } from './contestants.mjs';
import { makeBigFile } from './data.mjs';
import { measure } from './measure.mjs';

const GIB = 1024 ** 3;
const SIZES_GIB = [1, 2, 4, 8];

/** Peak memory of a full backup of one file of 1, 2, 4 and 8 GiB: it must not grow with the size. */
export function runMemory({ folder, scale, say }) {
  const contestant = dguard(join(folder, 'memory'), 3, 'files');
  if (contestant.missing) {
    say(`memory: dguard is left out: ${contestant.missing}`);
    return;
  }
  const source = join(folder, 'memory-source');
  say(line(['size GiB', 'peak RSS MB', 'wall s', 'CPU s']));
  for (const [i, gib] of SIZES_GIB.entries()) {
    rmSync(source, { recursive: true, force: true });
    mkdirSync(source, { recursive: true });
    makeBigFile(join(source, 'big.raw'), Math.round(gib * scale * GIB), 10 + i);
    contestant.reset(source);
    const { rssBytes, wallS, cpuS } = measure(contestant.full(source), join(folder, 'scratch'));
    say(line([gib * scale, rssBytes / 1e6, wallS, cpuS].map((value) => value.toFixed(2))));
  }
  rmSync(source, { recursive: true, force: true });
  rmSync(join(folder, 'memory'), { recursive: true, force: true });
}

function line(cells) {
  return cells.map((cell) => cell.padStart(12)).join('');
}
