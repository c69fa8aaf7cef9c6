import { existsSync, readFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/types.ts';
import type { Destination } from '../core/catalog.ts';
import { pidNamespace, processStart } from '../core/owner.ts';
import { DguardError, unlessAborted } from '../errors.ts';
import { makeFolders } from '../folders.ts';
import type { Runtime } from '../runtime.ts';
import { createStorage } from '../storages/registry.ts';
import type { Storage } from '../storages/types.ts';
import { createOutput, type Output, type OutputOptions, systemTimeZone } from './output.ts';
import { dguardVersion } from './version.ts';

export interface GlobalOptions extends OutputOptions {
  readonly config?: string;
  readonly trustConfig?: boolean;
}

/** What a command works with: the outside world, handed down. */
export interface Context extends Output {
  readonly options: GlobalOptions;
  readonly runtime: Runtime;
  /** The configuration; loaded at the first call. Errors: config_invalid, config_unsafe. */
  readonly config: () => Promise<Config>;
  /**
   * The configuration; undefined where `mayLack` and none is found. One that is found and broken is left aside
   * then, and said so once. Errors: config_invalid, config_unsafe, where it must be there or was named.
   */
  readonly configOrNone: (mayLack: boolean) => Promise<Config | undefined>;
  /** The same as `config` with the files that it was read from, and what is doubtful about them. */
  readonly loaded: () => Promise<LoadedConfig>;
  /** Opened storages; the end of the command closes them. */
  readonly opened: Storage[];
}

const TEMPLATE = '{job}/{datasource}/{id}';

export function createContext(options: GlobalOptions, signal: AbortSignal): Context {
  const output = createOutput(options);
  let loading: Promise<LoadedConfig> | undefined;
  let tempDir = tmpdir();
  let toldOfBroken = false;
  return {
    ...output,
    options,
    opened: [],
    runtime: {
      now: () => new Date(),
      emit: output.emit,
      signal,
      env: process.env,
      host: {
        name: hostname(),
        bootId: readText('/proc/sys/kernel/random/boot_id'),
        pid: process.pid,
        pidStart: processStart(process.pid),
        pidNamespace: pidNamespace(),
        privileged: process.getuid?.() === 0,
      },
      get tempDir() {
        return tempDir;
      },
      lockDir: lockFolder(),
      get version() {
        return dguardVersion();
      },
    },
    config: async () => (await load()).config,
    configOrNone,
    loaded: load,
  };

  async function configOrNone(mayLack: boolean): Promise<Config | undefined> {
    try {
      return (await load()).config;
    } catch (error) {
      if (!mayLack || options.config !== undefined || signal.aborted) throw error;
      const { configProblems } = await import('../config/problems.ts');
      if (configProblems(error).length > 0 && !toldOfBroken) {
        toldOfBroken = true;
        output.warn(`it is left aside: ${(error as Error).message}`, (error as DguardError).subject);
      }
      return undefined;
    }
  }

  function load(): Promise<LoadedConfig> {
    // It may wait for a pipe, a mount that hangs, a command that asks somebody for a password.
    loading ??= unlessAborted(signal, loadConfiguration(options, output)).then((loaded) => {
      tempDir = stagingFolder(loaded.config);
      return loaded;
    });
    return loading;
  }
}

async function loadConfiguration(options: GlobalOptions, output: Output): Promise<LoadedConfig> {
  const { loadConfig } = await import('../config/load.ts');
  const { formatProblem } = await import('../config/problems.ts');
  const loaded = await loadConfig(options.config, {
    env: process.env,
    cwd: process.cwd(),
    uid: process.getuid?.(),
    trustConfig: options.trustConfig === true,
    timezone: systemTimeZone,
  });
  output.setTimeZone(() => loaded.config.defaults.timezone);
  for (const warning of loaded.warnings)
    output.emit({ type: 'log', level: 'warning', message: formatProblem(warning) });
  return loaded;
}

/** The folder for staging that the configuration names, made where it is missing. */
function stagingFolder({ defaults }: Config): string {
  const folder = defaults.temp_dir ?? tmpdir();
  try {
    makeFolders(folder);
    return folder;
  } catch (cause) {
    throw new DguardError('config_invalid', `temp_dir cannot be made: ${(cause as Error).message}`, {
      operation: 'prepare',
      subject: folder,
      hint: 'give defaults.temp_dir a folder that this user may write to',
      cause,
    });
  }
}

/** A configured destination, or a folder given alone: what looks like a path is one. */
export async function openDestination(context: Context, name: string): Promise<Destination> {
  const destination = await connect(context, name);
  context.opened.push(destination.storage);
  return destination;
}

/** Whether a word is a folder rather than a name of the configuration. */
export function isFolderName(word: string): boolean {
  return word.includes('/') || word === '.' || word === '..';
}

async function connect(context: Context, name: string): Promise<Destination> {
  const warn = (message: string) => context.warn(message, name);
  if (isFolderName(name)) {
    const path = isAbsolute(name) ? name : resolve(process.cwd(), name);
    if (!existsSync(path)) {
      throw new DguardError('unknown_name', `there is no folder ${path}`, {
        operation: 'open destination',
        subject: name,
        hint: 'name a destination of the configuration, or a folder that holds backups',
      });
    }
    const { localStorage } = await import('../storages/local.ts');
    return { name, storage: await localStorage({ path }, { name, warn }), pathTemplate: TEMPLATE };
  }
  const config = await context.config().catch((error: unknown) => {
    if (!existsSync(resolve(process.cwd(), name))) throw error;
    throw new DguardError('unknown_name', `there is no configuration that could say what ${name} is`, {
      operation: 'open destination',
      subject: name,
      hint: `a folder is written with a slash: ./${name}`,
      cause: error,
    });
  });
  const destination = config.destinations[name];
  if (!destination) {
    const known = Object.keys(config.destinations);
    throw new DguardError('unknown_name', `the configuration has no destination ${name}`, {
      operation: 'open destination',
      subject: name,
      hint: `${known.length === 0 ? '' : `it has: ${known.join(', ')}; `}a folder is written with a slash (./${name})`,
    });
  }
  return {
    name,
    storage: await createStorage(destination, { name, warn }),
    pathTemplate: destination.path_template,
    optional: destination.optional,
  };
}

/** The destination named, or those of the job of that name, or all of the configuration. */
export async function openDestinations(
  context: Context,
  name: string | undefined,
  job?: string,
): Promise<Destination[]> {
  if (name !== undefined) return [await openDestination(context, name)];
  const config = await context.config();
  const isJob = job !== undefined && Object.hasOwn(config.jobs, job);
  const names = isJob
    ? config.jobs[job]!.destinations.map((each) => each.name)
    : Object.keys(config.destinations);
  return Promise.all(names.map((each) => openDestination(context, each)));
}

/** True for a job of the configuration, where there is one. */
export async function isConfiguredJob(context: Context, name: string): Promise<boolean> {
  return context.config().then(
    (config) => Object.hasOwn(config.jobs, name),
    () => false,
  );
}

/** Of the system for root, of the session for others, so that all runs of one user meet there. */
function lockFolder(): string {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0 && existsSync('/run/lock')) return '/run/lock/dguard';
  const session = process.env['XDG_RUNTIME_DIR'];
  return session !== undefined && isAbsolute(session)
    ? join(session, 'dguard')
    : join(tmpdir(), `dguard-locks-${uid}`);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
