import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { DguardError, errnoOf } from '../../errors.ts';
import { attempt } from './errors.ts';

/**
 * Throws `storage_missing` unless the mount that `mustBeMounted` asks for is there: `true` means `path`
 * itself, a string names `path` or one of the folders above it. Nothing is asked for by false or undefined.
 */
export async function assertMounted(
  path: string,
  mustBeMounted: boolean | string | undefined,
  name: string,
): Promise<void> {
  if (mustBeMounted === undefined || mustBeMounted === false) return;
  const wanted = mustBeMounted === true ? path : resolve(mustBeMounted);
  const point = await attempt('look at', wanted, () => realpath(wanted).catch(undefinedIfMissing));
  if (point === undefined || !(await attempt('look at', wanted, () => isMountPoint(point)))) {
    throw new DguardError('storage_missing', `destination ${name}: ${wanted} is not mounted`, {
      operation: 'look for the mount',
      subject: wanted,
      hint:
        mustBeMounted === true
          ? `mount ${wanted}; where a folder above it is the mount, name that one: must_be_mounted: /that/folder`
          : `mount ${wanted}`,
    });
  }
  if (isWithin(wanted, path) || isWithin(point, await realAncestor(path))) return;
  throw new DguardError('config_invalid', `destination ${name}: ${path} does not lie in ${wanted}`, {
    subject: name,
    hint: 'must_be_mounted is true, or the folder above the path that is the mount',
  });
}

/** The real path of `path`, or of the nearest folder above it that exists. */
export async function realAncestor(path: string): Promise<string> {
  for (let folder = path; ; folder = dirname(folder)) {
    const real = await attempt('look at', folder, () => realpath(folder).catch(undefinedIfMissing));
    if (real !== undefined || folder === dirname(folder)) return real ?? folder;
  }
}

async function isMountPoint(point: string): Promise<boolean> {
  // Looking for `.` inside wakes an automounter, looking at the folder does not.
  const inside = await stat(`${point}/.`);
  const above = await stat(dirname(point));
  if (inside.dev !== above.dev || inside.ino === above.ino) return true; // the same inode: it is `/`
  return (await mountPoints()).includes(point); // a bind mount within one file system has its st_dev
}

async function mountPoints(): Promise<string[]> {
  const table = await readFile('/proc/self/mountinfo', 'utf8').catch(() => ''); // Linux only
  return table.split('\n').map((line) => unescapeOctal(line.split(' ')[4] ?? ''));
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function isWithin(folder: string, path: string): boolean {
  const rest = relative(folder, path);
  return rest === '' || !(rest === '..' || rest.startsWith('../') || rest.startsWith('/'));
}

function undefinedIfMissing(error: unknown): undefined {
  if (errnoOf(error) !== 'ENOENT') throw error;
  return undefined;
}
