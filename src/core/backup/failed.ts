import { MANIFEST_NAME } from '../../archive/format.ts';
import { redact } from '../../config/secret.ts';
import { type DguardError, errorText } from '../../errors.ts';
import { sealManifest } from '../../manifest/parse.ts';
import type { ManifestDraft } from '../../manifest/types.ts';
import type { Runtime } from '../../runtime.ts';
import { putBytes } from '../../storages/write.ts';
import { commonFields, type Run } from './run.ts';
import type { Warnings } from './warnings.ts';

/** Removes what this run wrote and leaves a small `failed` manifest, for history. Best effort: never throws. */
export async function giveUp(
  run: Run,
  error: DguardError,
  warnings: Warnings,
  runtime: Runtime,
): Promise<void> {
  await run.lease?.stop();
  const quiet = (operation: Promise<unknown>) =>
    operation.catch((cause: unknown) =>
      warnings.add({ message: `clean up: ${errorText(cause)}`, partial: false }),
    );
  for (const target of run.targets) {
    // It does not answer: waiting for it again would hold up the others. Its leftovers are swept later.
    if (run.fanout.dropped.get(target)?.code === 'timeout') continue;
    // Only what this run put whole; its folder's name is its own. An interrupted put leaves nothing.
    for (const { name } of run.fanout.written) await quiet(target.storage.delete(`${target.folder}/${name}`));
    const draft: ManifestDraft = {
      ...commonFields(run, run.startedAt, runtime),
      source_identity: '',
      status: 'failed',
      size_bytes: 0,
      compressed_size_bytes: 0,
      stored_size_bytes: 0,
      compression: { codec: run.request.job.options.compression },
      artifacts: [],
      error: {
        operation: error.operation ?? 'backup',
        stage: 'dump',
        code: error.code,
        message: redact(error.message).slice(0, 4000),
      },
      recover: [],
    };
    const bytes = Buffer.from(sealManifest(draft).text);
    await quiet(putBytes(target.storage, `${target.folder}/${MANIFEST_NAME}`, bytes));
  }
}
