import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type LoadedConfig, type LoadOptions, loadConfig, validateConfig } from '../../src/config/load.ts';
import type { ConfigProblem } from '../../src/config/problems.ts';

const folders: string[] = [];

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

/** A folder with these files, mode 0600 unless `chmod` says otherwise; removed after the test. */
export async function folderWith(files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'dguard-config-'));
  folders.push(folder);
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
    await chmod(file, 0o600);
  }
  return folder;
}

type Given = Partial<LoadOptions> & { files?: Readonly<Record<string, string | Buffer>> };

export async function load(yaml: string, given: Given = {}): Promise<LoadedConfig & { folder: string }> {
  const folder = await folderWith({ 'backup.yaml': yaml, ...given.files });
  const loaded = await loadConfig(path.join(folder, 'backup.yaml'), {
    env: {},
    cwd: folder,
    uid: 1000,
    ...given,
  });
  return { ...loaded, folder };
}

/** The problems of a configuration as `line:column path: message (hint)`, without the file. */
export async function problemsOf(yaml: string, given: Given = {}): Promise<string[]> {
  const folder = await folderWith({ 'backup.yaml': yaml, ...given.files });
  const options = { env: {}, cwd: folder, uid: 1000, ...given };
  const { problems } = await validateConfig(path.join(folder, 'backup.yaml'), options);
  return problems.map((problem) => brief(problem, folder));
}

export function brief({ position, path: key, message, hint }: ConfigProblem, folder: string): string {
  const text = `${position?.line}:${position?.column} ${key}: ${message}${hint === undefined ? '' : ` (${hint})`}`;
  return text.replaceAll(folder, '.');
}

/** A sound configuration around parts of it, in flow style: `job` and the like are keys to add. */
export function yamlWith(parts: {
  datasource?: string;
  destination?: string;
  notification?: string;
  job?: string;
  defaults?: string;
}): string {
  return [
    'version: 1',
    `defaults: {${parts.defaults ?? ''}}`,
    `datasources: {d: {${parts.datasource ?? 'type: sqlite, file_path: a.db'}}}`,
    `destinations: {l: {${parts.destination ?? 'type: local, path: out'}}}`,
    `notifications: {n: {${parts.notification ?? 'type: smtp, host: h, from: a@b, to: c@d'}}}`,
    `jobs: {j: {datasources: d, destinations: l${parts.job === undefined ? '' : `, ${parts.job}`}}}`,
    '',
  ].join('\n');
}

/** What is wrong in each must be said, and be the only thing said. */
export function badValues(
  wrong: readonly (readonly [string, Parameters<typeof yamlWith>[0], string])[],
): void {
  describe('bad values', () => {
    it.each(wrong)('%s', async (_, parts, expected) => {
      const problems = await problemsOf(yamlWith(parts));
      expect(problems.map((problem) => problem.replace(/^\d+:\d+ /, ''))).toEqual([expected]);
    });
  });
}
