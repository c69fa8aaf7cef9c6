import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { MANIFEST_NAME } from '../../src/archive/format.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/types.ts';
import { type JobOptions, type JobOutcome, runJob } from '../../src/core/backup/job.ts';
import type { Catalog, CatalogEntry, Destination } from '../../src/core/catalog.ts';
import { pidNamespace } from '../../src/core/owner.ts';
import { type PruneOutcome, type PruneRequest, pruneGroup } from '../../src/core/prune/prune.ts';
import { readCatalog } from '../../src/core/read-catalog.ts';
import { type VerifyReport, verifyCopy } from '../../src/core/verify/verify.ts';
import type { DguardEvent } from '../../src/events.ts';
import type { Manifest } from '../../src/manifest/types.ts';
import type { Runtime } from '../../src/runtime.ts';
import { memoryStorage } from '../../src/storages/memory.ts';
import type { Storage, StoredObject } from '../../src/storages/types.ts';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** A job that backs up a folder to a storage in memory, with a clock that the test sets. */
export interface World {
  readonly folder: string;
  /** The folder that is backed up. */
  readonly source: string;
  readonly config: Config;
  readonly storage: Storage;
  readonly runtime: Runtime;
  readonly events: DguardEvent[];
  /** Sets the clock of host and storage. */
  at(time: string): void;
  write(files: Readonly<Record<string, string | Buffer>>): void;
  destination(storage?: Storage): Destination;
  backup(options?: Partial<JobOptions> & { storage?: Storage; runtime?: Runtime }): Promise<JobOutcome>;
  catalog(): Promise<Catalog>;
  prune(request?: Partial<PruneRequest>): Promise<PruneOutcome>;
  verify(entry: CatalogEntry): Promise<VerifyReport>;
  /** The same world with a copy of its storage: what happens there does not happen here. */
  fork(): Promise<World>;
}

/** `job` and `defaults` are YAML flow mappings' insides, added to those of the configuration. */
export async function makeWorld(options: { job?: string; defaults?: string } = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'dguard-world-'));
  folders.push(folder);
  const source = join(folder, 'source');
  mkdirSync(source);
  const file = join(folder, 'backup.yaml');
  writeFileSync(
    file,
    `version: 1
defaults: { timezone: UTC, host: testhost${options.defaults ?? ''} }
datasources: { docs: { type: files, source_path: ${source} } }
destinations: { store: { type: local, path: ${join(folder, 'unused')} } }
jobs: { prod: { datasources: [docs], destinations: [store], type: full${options.job ?? ''} } }
`,
    { mode: 0o600 },
  );
  const { config } = await loadConfig(file, { env: {}, cwd: folder, uid: process.getuid?.() });
  let clock = new Date('2026-03-01T12:00:00Z');
  const events: DguardEvent[] = [];
  const runtime: Runtime = {
    now: () => clock,
    emit: (event) => void events.push(event),
    signal: new AbortController().signal,
    env: process.env,
    host: {
      name: 'testhost',
      bootId: 'boot',
      pid: process.pid,
      pidNamespace: pidNamespace(),
      privileged: process.getuid?.() === 0,
    },
    tempDir: folder,
    lockDir: join(folder, 'locks'),
    version: '0.0.0',
  };
  return around(memoryStorage({ now: () => clock }));

  function around(storage: Storage): World {
    const destination = (of: Storage = storage): Destination => ({
      name: 'store',
      storage: of,
      pathTemplate: '{job}/{datasource}/{id}',
    });
    return {
      folder,
      source,
      config,
      storage,
      runtime,
      events,
      at(time) {
        clock = new Date(time);
      },
      write(files) {
        for (const [name, content] of Object.entries(files)) writeFileSync(join(source, name), content);
      },
      destination,
      backup({ storage: of, runtime: its, ...more } = {}) {
        const given: JobOptions = {
          tags: [],
          only: [],
          exclude: [],
          waitLockMs: 0,
          ignoreClock: false,
          openDestination: async () => destination(of),
          ...more,
        };
        return runJob(config, config.jobs['prod']!, given, its ?? runtime);
      },
      catalog: () => readCatalog(destination(), runtime.signal),
      prune: (request = {}) =>
        pruneGroup(
          {
            destination: destination(),
            group: { namespace: config.defaults.namespace, job: 'prod', datasource: 'docs', formerly: [] },
            policy: config.jobs['prod']!.retention,
            timeZone: 'UTC',
            hostName: 'testhost',
            sameSource: false,
            ignoreClock: false,
            dryRun: false,
            ...request,
          },
          runtime,
        ),
      verify: async (entry) =>
        verifyCopy(entry, (await readCatalog(destination(), runtime.signal)).entries, 'content', runtime),
      async fork() {
        const copy = memoryStorage({ now: () => clock });
        const present = clock;
        for (const { key, modifiedAt } of await objectsOf(storage)) {
          clock = modifiedAt;
          await copy.put(key, storage.get(key));
        }
        clock = present;
        return around(copy);
      },
    };
  }
}

/** The newest backup of a world, as the catalog has it. */
export async function newest(world: World): Promise<CatalogEntry> {
  return (await world.catalog()).entries[0]!;
}

/** Two backups of which the policy removes the older one. */
export async function twoBackups(): Promise<{ world: World; old: Manifest; folder: string }> {
  const world = await makeWorld();
  world.write({ a: Buffer.alloc(5_000, 'a'), b: 'small' });
  await world.backup();
  world.at('2026-03-02T12:00:00Z');
  await world.backup();
  world.at('2026-03-03T00:00:00Z');
  const old = (await world.catalog()).entries[1]!;
  return { world, old: old.manifest!, folder: old.folder };
}

/** Whether a folder holds a backup for all to see. */
export async function isPublished(storage: Storage, folder: string): Promise<boolean> {
  return (await storage.stat(`${folder}/${MANIFEST_NAME}`)) !== undefined;
}

/** All objects of a storage. */
export async function objectsOf(storage: Storage): Promise<StoredObject[]> {
  const objects: StoredObject[] = [];
  for await (const object of storage.list('')) objects.push(object);
  return objects;
}

/** Every good backup passes `verify --level content`: the promise, to be asked after whatever happened. */
export async function brokenPromises(world: World): Promise<string[]> {
  const { entries } = await world.catalog();
  const broken: string[] = [];
  for (const entry of entries.filter(({ good }) => good)) {
    const report = await world.verify(entry);
    if (report.overall !== 'pass') broken.push(`${entry.folder}: ${JSON.stringify(report.checks)}`);
  }
  return broken;
}
