import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow, warmUp } from './data.mjs';
import { measure, sizeBelow } from './measure.mjs';

/** What is measured, in this order: a restore and a verify need the backup before them. */
const OPERATIONS = {
  mix: ['full', 'restore', 'verify'],
  many: ['full', 'restore'],
  sqlite: ['full'],
};

/**
 * Runs a workload: in each round every operation is done by all contestants in turn, and the order is another one in the
 * next round. Machines drift; only what ran side by side may be compared. An operation that fails is named and not tried
 * again by that contestant; one whose backup fails has nothing to restore or verify and leaves.
 * @param {'mix' | 'many' | 'sqlite'} workload
 * @param {{ source: string, folder: string, rounds: number, field: import('./contestants.mjs').Contestant[],
 *           say: (line: string) => void }} options
 * @returns {{ job: string, contestant: string, round: number, cost: object }[]}
 */
export function runWorkload(workload, { source, folder, rounds, field, say }) {
  const results = [];
  const failed = new Set();
  for (let round = 1; round <= rounds; round++) {
    for (const operation of OPERATIONS[workload]) {
      for (const contestant of inTurn(field, round)) {
        const attempts = [`${contestant.name} full`, `${contestant.name} ${operation}`];
        if (!contestant[operation] || attempts.some((attempt) => failed.has(attempt))) continue;
        try {
          const cost = runOne(contestant, operation, { source, folder });
          results.push({ job: `${workload} ${operation}`, contestant: contestant.name, round, cost });
          say(`${workload} ${operation} ${round}/${rounds} ${contestant.name}: ${cost.wallS.toFixed(2)} s`);
        } catch (error) {
          say(`${workload} ${operation}: ${contestant.name} FAILED and is left out: ${error.message}`);
          failed.add(`${contestant.name} ${operation}`);
        }
      }
    }
  }
  for (const contestant of field) rmSync(contestant.store, { recursive: true, force: true });
  rmSync(join(folder, 'restored'), { recursive: true, force: true });
  return results;
}

function runOne(contestant, operation, { source, folder }) {
  const scratch = join(folder, 'scratch');
  if (operation === 'full') {
    contestant.reset(source);
    const cost = measure(contestant.full(source), scratch);
    return { ...cost, storedBytes: sizeBelow(contestant.store) };
  }
  // dguard writes past the page cache, its peers through it: what is read now lies in memory for all of them.
  warmUp(contestant.store);
  if (operation === 'verify') return measure(contestant.verify(source), scratch);

  const restored = join(folder, 'restored');
  mkdirSync(restored, { recursive: true });
  const target = join(mkdtempSync(join(restored, 'target-')), 'target');
  const cost = measure(contestant.restore(source, target), scratch);
  const restoredBytes = existsSync(target) ? sizeBelow(target) : 0;
  const wantedBytes = sizeBelow(source);
  // Only emptied: where files were just deleted ext4 looks for a free inode past each of them (recently_deleted), and
  // whoever restores next pays for it, up to sixteen times as much a file.
  for (const file of existsSync(target) ? filesBelow(target) : []) truncateSync(file);
  if (restoredBytes !== wantedBytes) throw new Error(`restored ${restoredBytes} of ${wantedBytes} bytes`);
  return cost;
}

/** A B C, then C A B, then B C A …, and every second time around backwards. */
function inTurn(field, round) {
  const shift = (round - 1) % Math.max(1, field.length);
  const turned = [...field.slice(field.length - shift), ...field.slice(0, field.length - shift)];
  return round % 2 === 1 ? turned : turned.reverse();
}
