import type { StatusRow } from '../../core/status.ts';

/** One metric: its name, what it says, and its value in a row (undefined: no sample). */
const METRICS: readonly [string, string, (row: StatusRow) => number | undefined][] = [
  [
    'dguard_up',
    'Whether the destination could be looked at.',
    (row) => (row.state === 'unreachable' ? 0 : 1),
  ],
  [
    'dguard_last_good_timestamp_seconds',
    'The moment that the newest good backup is of.',
    // Of what is no longer backed up an age is no alarm.
    ({ lastGood, state }) =>
      state === 'former' || state === 'spare' ? undefined : lastGood && lastGood.createdAt.getTime() / 1000,
  ],
  [
    'dguard_last_proof_timestamp_seconds',
    'When a good backup was last proven by its content or a restore.',
    ({ lastProof }) => lastProof && new Date(lastProof.checkedAt).getTime() / 1000,
  ],
  ['dguard_last_good_stored_bytes', 'Stored bytes of the newest good backup.', ({ sizeBytes }) => sizeBytes],
  ['dguard_backups', 'Backups that are not failed runs.', ({ backups }) => backups],
  ['dguard_used_bytes', 'Bytes that all of them occupy.', ({ usedBytes }) => usedBytes],
  ['dguard_missing_copies', 'Good backups that are elsewhere and not here.', ({ missing }) => missing.length],
  ['dguard_troubled_backups', 'Broken, damaged, suspect backups.', ({ troubled }) => troubled.length],
  [
    'dguard_success_ratio',
    'Share of the newest runs that did not fail.',
    ({ successPercent }) => (successPercent === undefined ? undefined : successPercent / 100),
  ],
];

/** Status as Prometheus' text format (version 0.0.4), for a textfile collector. */
export function prometheusText(rows: readonly StatusRow[]): string {
  const lines: string[] = [];
  for (const [name, help, value] of METRICS) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    for (const row of rows) {
      const sample = value(row);
      if (sample === undefined) continue;
      const labels = `job="${escaped(row.job)}",datasource="${escaped(row.datasource)}",destination="${escaped(row.destination)}"`;
      lines.push(`${name}{${labels}} ${sample}`);
    }
  }
  return lines.join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
