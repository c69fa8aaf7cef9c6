import { DguardError } from '../errors.ts';
import { configCandidates, discoverConfig } from './discover.ts';
import { readMerged } from './include.ts';
import type { Env } from './interpolate.ts';
import { issueProblems } from './issues.ts';
import { normaliseNotification } from './normalise/notifications.ts';
import { normalise } from './normalise.ts';
import { prepareTree } from './prepare.ts';
import { type ConfigProblem, problemsError } from './problems.ts';
import { ruleProblems } from './rules.ts';
import { safetyProblems } from './safety.ts';
import { notification } from './schema/notifications.ts';
import { root } from './schema/root.ts';
import { resolveSecrets, type Secrets, under } from './secrets.ts';
import { isTreeMap, type TreeMap } from './tree.ts';
import type { NotificationConfig } from './types/notifications.ts';
import type { Config } from './types.ts';

export interface LoadOptions {
  readonly env: Env;
  readonly cwd: string;
  /** Of this process; undefined where the system has none. */
  readonly uid?: number | undefined;
  /** Root takes commands also from files of other users (containers). */
  readonly trustConfig?: boolean;
  /** What `defaults.timezone` is when the file does not say; UTC. Asked only by who needs it: ICU takes 25 ms to start. */
  readonly timezone?: () => string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** The main file, absolute. */
  readonly path: string;
  /** All files that were read as configuration, the main one first. */
  readonly files: readonly string[];
  /** All files that hold one secret each. */
  readonly secretFiles: readonly string[];
  readonly warnings: readonly ConfigProblem[];
}

/**
 * Finds, reads and checks the configuration, and opens its secrets. All problems are reported at once.
 * Errors: config_invalid, config_unsafe (others could read or change it); `configProblems(error)` lists
 * the problems, `usableNotifications(error)` tells whom the failure can still be told to.
 */
export async function loadConfig(file: string | undefined, options: LoadOptions): Promise<LoadedConfig> {
  const outcome = await readConfig(file, options);
  if (outcome.config === undefined)
    throw problemsError(outcome.problems, outcome.path, outcome.notifications);
  const { config, path, files, secretFiles } = outcome;
  return { config, path, files, secretFiles, warnings: outcome.problems };
}

/** The same check for `config validate`: every problem, warnings included, without throwing them. */
export async function validateConfig(
  file: string | undefined,
  options: LoadOptions,
): Promise<{ path: string; files: readonly string[]; valid: boolean; problems: readonly ConfigProblem[] }> {
  const { path, files, config, problems } = await readConfig(file, options);
  return { path, files, valid: config !== undefined, problems };
}

/** Code made for the schema, as zod makes it by itself, costs more than it saves. */
const ONCE = { jitless: true } as const;

interface Outcome {
  readonly path: string;
  readonly files: readonly string[];
  readonly secretFiles: readonly string[];
  /** Undefined if any problem is more than a warning. */
  readonly config: Config | undefined;
  readonly problems: readonly ConfigProblem[];
  readonly notifications: readonly NotificationConfig[];
}

async function readConfig(file: string | undefined, options: LoadOptions): Promise<Outcome> {
  const { env, cwd, uid, trustConfig = false, timezone = () => 'UTC' } = options;
  const path = await discoverConfig(file, env, cwd);
  if (path === undefined) {
    const places = configCandidates(env, cwd).join(', ');
    throw new DguardError('config_invalid', `no configuration found; looked for ${places}`, {
      operation: 'load configuration',
      hint: 'copy backup.example.yaml and change it; --config FILE or $DGUARD_CONFIG names one elsewhere; a destination alone is read with --from ./FOLDER',
    });
  }
  const { tree, marks, files, problems } = await readMerged(path, env);
  const prepared = prepareTree(root, tree, marks, env);
  const parsed = root.safeParse(tree, ONCE);
  // What could not even be read has been told; that sections are missing then is no news.
  if (!parsed.success && !unreadable(problems, tree)) {
    // An unset variable has been told; that its place is empty then is no second problem.
    const told = new Set(problems.map((problem) => problem.path));
    const found = issueProblems(parsed.error.issues, root, tree, marks);
    problems.push(...found.filter((problem) => !told.has(problem.path)));
  }
  problems.push(...ruleProblems(tree, marks));
  problems.push(...safetyProblems(files, prepared, marks, { uid, trustConfig }));

  // An unsafe file must not choose what is read or run.
  const safe = !problems.some((problem) => problem.severity === 'unsafe');
  const sound = !problems.some((problem) => problem.severity !== 'warning');
  const secrets = safe
    ? await resolveSecrets(prepared.secrets, marks, { env, runCommands: sound, problems })
    : () => undefined;
  const failed = problems.some((problem) => problem.severity !== 'warning');
  return {
    path,
    files: files.map((read) => read.path),
    secretFiles: prepared.secrets.flatMap(({ from, value }) =>
      from === 'file' && typeof value === 'string' ? [value] : [],
    ),
    config: parsed.success && !failed ? normalise(parsed.data, secrets, timezone) : undefined,
    problems: inOrder(problems),
    notifications: failed && safe ? soundNotifications(tree, problems, secrets) : [],
  };
}

function unreadable(problems: readonly ConfigProblem[], tree: TreeMap): boolean {
  return problems.length > 0 && Object.keys(tree).length === 0;
}

/** By file in the order of reading, then by line. */
function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const files = [...new Set(problems.map((problem) => problem.position?.file))];
  const rank = ({ position }: ConfigProblem) =>
    [files.indexOf(position?.file), position?.line ?? 0, position?.column ?? 0] as const;
  return [...problems].sort((a, b) => {
    const [left, right] = [rank(a), rank(b)];
    return left[0] - right[0] || left[1] - right[1] || left[2] - right[2];
  });
}

/** Those notifications that have no problem of their own and whose secrets are open. */
function soundNotifications(
  tree: TreeMap,
  problems: readonly ConfigProblem[],
  secrets: Secrets,
): NotificationConfig[] {
  const section = tree['notifications'];
  if (!isTreeMap(section)) return [];
  return Object.entries(section).flatMap(([name, entry]) => {
    const path = `notifications.${name}`;
    const blamed = problems.some((problem) => problem.path === path || problem.path.startsWith(`${path}.`));
    const parsed = notification.safeParse(entry);
    if (blamed || !parsed.success || !isTreeMap(entry)) return [];
    const closed = Object.keys(entry).some((key) => key.endsWith('_command'));
    return closed ? [] : [normaliseNotification(name, parsed.data, under(secrets, ['notifications', name]))];
  });
}
