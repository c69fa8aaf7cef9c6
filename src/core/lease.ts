import type { Fanout, Target } from '../archive/fanout.ts';
import { leaseName } from '../archive/format.ts';
import { canonicalJson } from '../manifest/canonical.ts';
import type { Runtime } from '../runtime.ts';
import { putBytes } from '../storages/write.ts';

const RENEW_MS = 60 * 60 * 1000;

/**
 * Says at every destination who writes here and what it will refer to: the first object of a folder,
 * renewed hourly by a further one. `stop` ends the renewal and waits for one under way.
 */
export async function holdLease(
  fanout: Fanout,
  targets: readonly Target[],
  facts: { id: string; job: string; datasource: string; startedAt: Date; references: readonly string[] },
  runtime: Runtime,
) {
  let number = 0;
  const names = new Map<Target, Map<string, number>>(targets.map((target) => [target, new Map()]));
  let renewal: Promise<void> = Promise.resolve();

  async function put(): Promise<void> {
    const name = leaseName(number++);
    await Promise.all(
      targets
        .filter((target) => !fanout.dropped.has(target))
        .map(async (target) => {
          const text = canonicalJson({
            format: 1,
            id: facts.id,
            folder: target.folder,
            job: facts.job,
            datasource: facts.datasource,
            host: runtime.host.name,
            boot_id: runtime.host.bootId,
            pid: runtime.host.pid,
            started_at: facts.startedAt.toISOString(),
            references: [...facts.references],
          });
          const bytes = Buffer.from(text);
          try {
            await putBytes(target.storage, `${target.folder}/${name}`, bytes);
            names.get(target)?.set(name, bytes.length);
          } catch (error) {
            fanout.drop(target, error);
          }
        }),
    );
  }

  await put();
  const timer = setInterval(() => {
    renewal = renewal.then(put);
  }, RENEW_MS);
  timer.unref();
  return {
    /** Names and sizes of the leases at a destination. */
    objects: (target: Target): ReadonlyMap<string, number> => names.get(target) ?? new Map(),
    async stop(): Promise<void> {
      clearInterval(timer);
      await renewal;
    },
  };
}
