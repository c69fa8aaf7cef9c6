import { existsSync, mkdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { displayPath } from '../../archive/paths.ts';
import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import { newestGoodRun, pickCopy, readCatalogs } from '../../core/find.ts';
import { restoreCopy } from '../../core/restore.ts';
import { combineExitStatus, DguardError, toDguardError } from '../../errors.ts';
import { type Context, openDestinations } from '../context.ts';
import { jsonDocument } from '../render/outcome.ts';
import { restoredJson } from '../render/restored.ts';
import { sizeText } from '../render/text.ts';
import { parseMoment } from '../time.ts';

interface Options {
  readonly from?: string;
  readonly destination?: string;
  readonly at?: string;
  readonly datasource?: readonly string[];
  readonly only?: readonly string[];
  readonly toPath?: string;
  readonly overwrite?: boolean;
  readonly privileged?: boolean;
  readonly dryRun?: boolean;
}

export async function restoreCommand(context: Context, name: string, options: Options): Promise<number> {
  const from = options.from ?? options.destination;
  const destinations = await openDestinations(context, from);
  const { entries, errors } = await readCatalogs(destinations, context.runtime.signal);
  if (errors.length > 0 && entries.length === 0) throw errors[0]!.error;
  const copies = choose(entries, name, options, context.runtime.now());
  const config = await configOrNone(context, from !== undefined);
  if (options.toPath !== undefined && copies.length > 1 && !options.dryRun) {
    mkdirSync(resolve(options.toPath), { recursive: true, mode: 0o700 });
  }
  const statuses: number[] = [];
  const restored: object[] = [];
  const failures: DguardError[] = [];
  for (const copy of copies) {
    const manifest = copy.manifest;
    if (!manifest) throw copy.error;
    const datasource = config?.datasources[manifest.datasource.name];
    const toPath = targetOf(options.toPath, copy, copies.length);
    if (toPath === undefined && !datasource) {
      throw new DguardError('usage', `where to? ${manifest.datasource.name} is not configured here`, {
        operation: 'restore',
        subject: manifest.id,
        hint: '--to-path DIR restores anywhere',
      });
    }
    try {
      const outcome = await restoreCopy(
        copy,
        entries,
        {
          ...(toPath === undefined ? {} : { toPath }),
          ...(datasource ? { datasource } : {}),
          only: options.only ?? [],
          overwrite: options.overwrite === true,
          dryRun: options.dryRun === true,
          privileged: options.privileged === true,
        },
        context.runtime,
      );
      context.finish();
      const partial = manifest.status === 'partial' || outcome.warnings.some((warning) => warning.partial);
      statuses.push(partial ? 3 : 0);
      restored.push(restoredJson(manifest, outcome));
      for (const { subject, message } of outcome.warnings) {
        context.warn(message, subject === undefined ? undefined : displayPath(subject));
      }
      if (!context.options.json) {
        for (const step of outcome.plan ?? []) context.print(`would: ${step}`);
        if (!options.dryRun) {
          const files = outcome.filesCount === undefined ? '' : `, ${outcome.filesCount} files`;
          context.print(
            `${manifest.datasource.name}: restored ${manifest.id} to ${outcome.target} (${sizeText(outcome.sizeBytes)}${files})`,
          );
          if (outcome.undo) context.print(`  what was there before is kept: ${outcome.undo}`);
        }
      }
    } catch (thrown) {
      const error = toDguardError(thrown, 'target_failed', { operation: 'restore', subject: manifest.id });
      statuses.push(error.exitStatus);
      failures.push(error);
      context.finish();
      context.report(error, manifest.job);
    }
  }
  const status = combineExitStatus(statuses);
  if (context.options.json) context.print(jsonDocument('restore', status, { restored }, failures));
  return status;
}

function choose(entries: readonly CatalogEntry[], name: string, options: Options, now: Date): CatalogEntry[] {
  if (!entries.some(({ manifest }) => manifest?.job === name)) return [pickCopy(entries, name)];
  const at = options.at === undefined ? undefined : parseMoment(options.at, 'upper', '--at', now);
  return newestGoodRun(entries, name, {
    now,
    ...(options.datasource ? { datasources: options.datasource } : {}),
    ...(at ? { at } : {}),
  });
}

/** Several datasources go into folders of their own beneath the target; a database file keeps a file's name. */
function targetOf(toPath: string | undefined, copy: CatalogEntry, count: number): string | undefined {
  if (toPath === undefined) return undefined;
  const { datasource } = copy.manifest!;
  const file = datasource.type === 'sqlite';
  if (count > 1) return resolve(toPath, file ? `${datasource.name}.db` : datasource.name);
  const path = resolve(toPath);
  const isFolder = existsSync(path) && statSync(path).isDirectory();
  return file && isFolder ? join(path, `${basename(datasource.name)}.db`) : path;
}

async function configOrNone(context: Context, mayLack: boolean): Promise<Config | undefined> {
  if (!mayLack || context.options.config !== undefined) return context.config();
  return context.config().catch(() => undefined);
}
