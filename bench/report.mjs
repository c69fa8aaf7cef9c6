/**
 * The table of all jobs: medians over the rounds, the span of the wall time, and for both levels of dguard how it
 * compares: the median over the rounds of dguard's time divided by the contestant's in the same round (below 1: dguard
 * is faster).
 * @param {{ job: string, contestant: string, round: number, cost: object }[]} results
 * @returns {string}
 */
export function table(results) {
  const head = ['job', 'contestant', 'wall s', '(from-to)', 'CPU s', 'RSS MB', 'stored MB'];
  const levels = [...new Set(results.map((result) => result.contestant))].filter((name) =>
    name.startsWith('dguard'),
  );
  for (const name of levels) head.push(`${name} wall x`, 'CPU x');
  const rows = groups(results).map((runs) => row(runs, results, levels));
  return layOut([head, ...rows]);
}

/** @param {number[]} numbers */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The runs of each contestant in each job, in the order in which jobs and contestants first appeared. */
function groups(results) {
  const unique = (key) => [...new Set(results.map((result) => result[key]))];
  return unique('job').flatMap((job) =>
    unique('contestant')
      .map((contestant) => results.filter((r) => r.job === job && r.contestant === contestant))
      .filter((runs) => runs.length > 0),
  );
}

function row(runs, results, levels) {
  const { job, contestant } = runs[0];
  const of = (key) => median(runs.map(({ cost }) => cost[key]));
  const walls = runs.map(({ cost }) => cost.wallS);
  const stored = runs[0].cost.storedBytes === undefined ? '' : (of('storedBytes') / 1e6).toFixed(1);
  const span = runs.length > 1 ? `${seconds(Math.min(...walls))}-${seconds(Math.max(...walls))}` : '';
  const cells = [
    job,
    contestant,
    seconds(of('wallS')),
    span,
    seconds(of('cpuS')),
    (of('rssBytes') / 1e6).toFixed(0),
    stored,
  ];
  for (const level of levels) {
    for (const key of ['wallS', 'cpuS'])
      cells.push(level === contestant ? '' : ratio(runs, results, level, key));
  }
  return cells;
}

function ratio(runs, results, level, key) {
  const ratios = runs.flatMap((run) => {
    const ours = results.find((r) => r.job === run.job && r.round === run.round && r.contestant === level);
    return ours ? [ours.cost[key] / run.cost[key]] : [];
  });
  return ratios.length > 0 ? median(ratios).toFixed(2) : '';
}

function seconds(value) {
  return value.toFixed(2);
}

/** The first two columns to the left, numbers to the right. */
function layOut(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((cells) => cells[column].length)));
  return rows
    .map((cells) =>
      cells
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
