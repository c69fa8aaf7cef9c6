import { access } from 'node:fs/promises';
import nodePath from 'node:path';
import type { Env } from './interpolate.ts';

/**
 * The configuration file: `file` if given, else $DGUARD_CONFIG, else the first that exists of
 * ./backup.yaml, $XDG_CONFIG_HOME/dguard/backup.yaml (by default ~/.config) and /etc/dguard/backup.yaml.
 * One that is named but missing is not passed over. Undefined where there is none.
 */
export async function discoverConfig(
  file: string | undefined,
  env: Env,
  cwd: string,
): Promise<string | undefined> {
  const named = file ?? (env['DGUARD_CONFIG'] || undefined);
  if (named !== undefined) return nodePath.resolve(cwd, named);
  for (const candidate of configCandidates(env, cwd)) {
    if (
      await access(candidate).then(
        () => true,
        (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && error.code !== 'ENOTDIR',
      )
    ) {
      return candidate;
    }
  }
  return undefined;
}

/** Where a configuration is looked for, in order, when none is named. */
export function configCandidates(env: Env, cwd: string): string[] {
  const home = env['XDG_CONFIG_HOME'] || (env['HOME'] ? nodePath.join(env['HOME'], '.config') : undefined);
  return [
    nodePath.join(cwd, 'backup.yaml'),
    ...(home === undefined ? [] : [nodePath.join(home, 'dguard', 'backup.yaml')]),
    '/etc/dguard/backup.yaml',
  ];
}
