import type { Config } from '../../config/types.ts';
import {
  copiesOf,
  datasourceOf,
  isOneDatabase,
  readCatalogs,
  refuseUnlisted,
  unknownBackup,
} from '../../core/find.ts';
import { hasSeveral } from '../../core/groups.ts';
import { dropUndo, listUndo, type RestoreTarget, recoverAll, undoTarget } from '../../core/target.ts';
import type { UndoCopy } from '../../engines/swaps.ts';
import { combineExitStatus, DguardError, toDguardError } from '../../errors.ts';
import { confirm } from '../confirm.ts';
import { type Context, openDestinations } from '../context.ts';
import { jsonDocument } from '../render/outcome.ts';
import { plainText } from '../render/text.ts';
import { ofRestore } from './restore-each.ts';
import type { RestoreCommandOptions } from './restore-options.ts';
import { configuredDatasource, targetOf } from './restore-place.ts';

type Options = RestoreCommandOptions;
type Named = RestoreTarget & { readonly name: string };

/** What is restored under a name. */
interface Known {
  readonly name: string;
  readonly type: string;
  /** The datasource that holds `database` among others, of which each has backups of its own. */
  readonly of?: string;
  readonly database?: string;
}

/** `restore --undo`, `--recover` and `--drop-undo`: they need the target alone, no backup. */
export async function targetCommand(
  context: Context,
  name: string | undefined,
  options: Options,
): Promise<number> {
  const asked = [options.undo, options.recover, options.dropUndo].filter((flag) => flag === true);
  if (asked.length > 1) {
    throw new DguardError('usage', 'only one of --undo, --recover and --drop-undo', { operation: 'restore' });
  }
  const targets = await targetsOf(context, name, options);
  if (options.dropUndo) return dropAll(context, targets, options);
  const statuses: number[] = [];
  const done: object[] = [];
  const failures: DguardError[] = [];
  for (const target of targets) {
    try {
      const work = options.recover ? recoverOne : options.dryRun ? planUndo : undoOne;
      done.push(...(await work(context, target)));
      statuses.push(0);
    } catch (thrown) {
      const error = ofRestore(
        toDguardError(thrown, 'target_failed', { operation: 'restore', subject: target.name }),
        'restore',
        target.name,
      );
      statuses.push(error.exitStatus);
      failures.push(error);
      context.finish();
      context.report(error);
    }
  }
  const status = combineExitStatus(statuses);
  const what = options.undo ? 'undone' : 'recovered';
  if (context.options.json)
    context.print(
      jsonDocument('restore', status, { restored: [], [what]: done, ...dryRunOf(options) }, failures),
    );
  return status;
}

async function undoOne(context: Context, target: Named): Promise<object[]> {
  const { restored, target: place, undo, warnings } = await undoTarget(target, context.runtime);
  context.finish();
  for (const { message } of warnings) context.warn(message, target.name);
  if (!context.options.json) {
    context.print(`${target.name}: ${place} is what it was before ${restored.backupId} was restored`);
    if (undo !== undefined) context.print(`  what was there until now is kept: ${undo}`);
  }
  return [
    {
      datasource: target.name,
      target: place,
      backup: restored.backupId,
      ...(undo === undefined ? {} : { undo }),
    },
  ];
}

/** What an undo would put back: the newest copy. Errors: nothing_there; usage, as the undo itself. */
async function planUndo(context: Context, target: Named): Promise<object[]> {
  if (target.toDatabase === undefined && namesSeveral(target)) {
    throw new DguardError('usage', 'the datasource does not name exactly one database', {
      operation: 'undo',
      subject: target.name,
      hint: 'say which one: --to-database NAME',
    });
  }
  const [newest] = await listUndo(target, context.runtime);
  context.finish();
  const place = target.toPath ?? target.toDatabase ?? target.name;
  if (newest === undefined) {
    throw new DguardError('nothing_there', 'no restore of it keeps anything for undo', {
      operation: 'undo',
      subject: place,
    });
  }
  const { name, backupId, createdAt } = newest;
  const plan = [`put back ${name}, which a restore of ${backupId} replaced ${createdAt.toISOString()}`];
  if (!context.options.json)
    for (const step of plan) context.print(plainText(`${target.name}: would: ${step}`));
  return [{ datasource: target.name, target: place, backup: backupId, plan }];
}

function namesSeveral({ datasource }: Named): boolean {
  return datasource !== undefined && 'all_databases' in datasource && !isOneDatabase(datasource);
}

/** What a document of a dry run says of itself: its lists are of what would be. */
function dryRunOf({ dryRun }: Options): object {
  return dryRun ? { dry_run: true } : {};
}

async function recoverOne(context: Context, target: Named): Promise<object[]> {
  const messages = await recoverAll(target, context.runtime);
  context.finish();
  if (!context.options.json) {
    if (messages.length === 0) context.print(`${target.name}: nothing was interrupted`);
    for (const message of messages) context.print(plainText(message));
  }
  return messages.map((message) => ({ datasource: target.name, message }));
}

async function dropAll(context: Context, targets: readonly Named[], options: Options): Promise<number> {
  const found: { target: Named; copies: readonly UndoCopy[] }[] = [];
  for (const target of targets) found.push({ target, copies: await listUndo(target, context.runtime) });
  const count = found.reduce((sum, { copies }) => sum + copies.length, 0);
  for (const { copies } of found) {
    for (const copy of copies)
      context.note(`${copy.name} (kept ${copy.createdAt.toISOString()} from ${copy.backupId})`);
  }
  if (options.dryRun) {
    const names = found.flatMap(({ copies }) => copies.map(({ name }) => name));
    if (context.options.json)
      context.print(jsonDocument('restore', 0, { restored: [], dropped: names, ...dryRunOf(options) }, []));
    else if (count === 0) context.print('nothing is kept for undo');
    else for (const name of names) context.print(plainText(`would: remove ${name}`));
    return 0;
  }
  if (count > 0 && !options.yes) await confirm(context, 'restore', `Remove ${count} undo copies for good?`);
  const dropped: string[] = [];
  for (const { target } of found) {
    for (const { name } of await dropUndo(target, 0, context.runtime)) dropped.push(name);
  }
  if (context.options.json) context.print(jsonDocument('restore', 0, { restored: [], dropped }, []));
  else for (const name of dropped) context.print(`removed ${plainText(name)}`);
  if (count === 0 && !context.options.json) context.print('nothing is kept for undo');
  return 0;
}

/** The datasources of a job, or that of a backup; without a name that of --to. Errors: usage, unknown_name. */
async function targetsOf(context: Context, name: string | undefined, options: Options): Promise<Named[]> {
  if (name === undefined) return [await targetOfDatasource(context, options)];
  const from = options.from ?? options.destination;
  const config = await context.configOrNone(from !== undefined);
  const job = config?.jobs[name];
  const all =
    job === undefined
      ? await datasourcesOf(context, name, from, config)
      : job.datasources.map((each): Known => ({ name: each, type: config!.datasources[each]!.type }));
  const wanted = options.datasource ?? [];
  const chosen =
    wanted.length === 0
      ? all
      : [...all, ...oneOfSeveral(config, all, wanted)].filter((each) => wanted.includes(each.name));
  if (chosen.length === 0) {
    throw new DguardError('unknown_name', `${name} has no datasource ${wanted.join(', ')}`, {
      operation: 'restore',
      subject: name,
      hint: `it has: ${all.map((each) => each.name).join(', ')}`,
    });
  }
  return chosen.map((each) => {
    const place = options.to ?? each.of ?? each.name;
    const datasource = config?.datasources[place];
    // A datasource of one database says itself where it is.
    const isNamed = each.database !== undefined && config !== undefined && hasSeveral(config, place);
    const toDatabase = options.toDatabase ?? (isNamed ? each.database : undefined);
    const type = datasource?.type ?? each.type;
    const toPath = targetOf(options.toPath, { name: each.name, type }, chosen.length);
    if (datasource === undefined && toPath === undefined) {
      throw new DguardError('usage', `which target? ${place} is not configured here`, {
        operation: 'restore',
        subject: name,
        hint: 'name the place that was restored to: --to-path DIR',
      });
    }
    return {
      name: each.name,
      type,
      ...(datasource === undefined ? {} : { datasource }),
      ...(toPath === undefined ? {} : { toPath }),
      ...(toDatabase === undefined ? {} : { toDatabase }),
    };
  });
}

/** Names of single databases of the datasources that hold several: as their backups are called. */
function oneOfSeveral(
  config: Config | undefined,
  all: readonly Known[],
  wanted: readonly string[],
): readonly Known[] {
  return wanted.flatMap((name): Known[] => {
    if (config === undefined || all.some((each) => each.name === name)) return [];
    const of = all.find((each) => name.startsWith(`${each.name}.`) && hasSeveral(config, each.name));
    return of ? [{ name, type: of.type, of: of.name, database: name.slice(of.name.length + 1) }] : [];
  });
}

/** A datasource's own place, whatever was restored to it. */
async function targetOfDatasource(context: Context, { to, toDatabase, toPath }: Options): Promise<Named> {
  if (to === undefined) {
    throw new DguardError('usage', 'which target? neither a job nor a datasource is named', {
      operation: 'restore',
      hint: 'name the job or backup that was restored, or the datasource that it went to: --to DATASOURCE',
    });
  }
  const datasource = configuredDatasource(await context.config(), to, undefined, to);
  const place = targetOf(toPath, datasource, 1);
  return {
    name: to,
    type: datasource.type,
    datasource,
    ...(place === undefined ? {} : { toPath: place }),
    ...(toDatabase === undefined ? {} : { toDatabase }),
  };
}

/** Of what no configuration knows, the destinations do. */
async function datasourcesOf(
  context: Context,
  name: string,
  from: string | undefined,
  config: Config | undefined,
): Promise<Known[]> {
  const catalogs = await readCatalogs(await openDestinations(context, from), context.runtime.signal);
  const { entries } = catalogs;
  const found = [...entries.filter(({ manifest }) => manifest?.job === name), ...copiesOf(entries, name)];
  const byName = new Map(
    found.flatMap(({ manifest }) => {
      if (!manifest) return [];
      const { name: of, type } = manifest.datasource;
      const configured = datasourceOf(config, manifest)?.name;
      const { database } = manifest;
      const isOne = configured !== undefined && database !== undefined && of === `${configured}.${database}`;
      return [[of, { name: of, type, ...(isOne ? { of: configured, database } : {}) }]];
    }),
  );
  if (byName.size > 0) return [...byName.values()];
  refuseUnlisted(catalogs, name, 'restore');
  throw unknownBackup(entries, name, 'restore');
}
