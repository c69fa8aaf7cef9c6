import { displayPath } from '../../archive/paths.ts';
import type { RestoreOutcome, Warning } from '../../engines/types.ts';
import type { Manifest } from '../../manifest/types.ts';

/** One restored backup as `--json` prints it; on a dry run `plan` says what would be done. */
export function restoredJson(
  manifest: Manifest,
  outcome: RestoreOutcome & { readonly warnings: readonly Warning[] },
): object {
  const { id, job, datasource } = manifest;
  return { id, job, datasource: datasource.name, ...outcomeJson(outcome) };
}

/** What came of a restore. */
export function outcomeJson(outcome: RestoreOutcome & { readonly warnings: readonly Warning[] }): object {
  const { target, filesCount, sizeBytes, tables, undo, safety, plan, warnings } = outcome;
  return {
    target,
    size_bytes: sizeBytes,
    ...(filesCount === undefined ? {} : { files_count: filesCount }),
    ...(tables === undefined ? {} : { tables }),
    ...(undo === undefined ? {} : { undo }),
    ...(safety === undefined ? {} : { safety }),
    ...(plan === undefined ? {} : { plan }),
    warnings: warnings.map(({ subject, message, partial }) => ({
      ...(subject === undefined ? {} : { subject: displayPath(subject) }),
      message,
      partial,
    })),
  };
}
