// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { mkdir } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { DguardError } from '../../src/errors.ts';
import { folderWith } from './fixture.ts';

const EMPTY = 'version: 1\n';

describe('discovery', () => {
  it('takes the named file, then the environment, then the folders in order', async () => {
    const folder = await folderWith({
      'named.yaml': EMPTY,
      'env.yaml': EMPTY,
      'cwd/backup.yaml': EMPTY,
      'xdg/dguard/backup.yaml': EMPTY,
      'home/.config/dguard/backup.yaml': EMPTY,
    });
    await mkdir(`${folder}/none`);
    const find = async (file: string | undefined, cwd: string, env: Record<string, string>) =>
      (await loadConfig(file, { env, cwd: `${folder}/${cwd}` })).path.replace(`${folder}/`, '');
    const env = {
      DGUARD_CONFIG: `${folder}/env.yaml`,
      XDG_CONFIG_HOME: `${folder}/xdg`,
      HOME: `${folder}/home`,
    };
    expect(await find('../named.yaml', 'cwd', env)).toBe('named.yaml');
    expect(await find(undefined, 'cwd', env)).toBe('env.yaml');
    expect(await find(undefined, 'cwd', { ...env, DGUARD_CONFIG: '' })).toBe('cwd/backup.yaml');
    expect(await find(undefined, 'none', { ...env, DGUARD_CONFIG: '' })).toBe('xdg/dguard/backup.yaml');
    expect(await find(undefined, 'none', { HOME: `${folder}/home` })).toBe('home/.config/dguard/backup.yaml');
  });

  it('a named file that is missing is not passed over', async () => {
    const folder = await folderWith({ 'backup.yaml': EMPTY });
    for (const [file, env] of [
      ['x.yaml', {}],
      [undefined, { DGUARD_CONFIG: 'x.yaml' }],
    ] as const) {
      const error = await loadConfig(file, { env, cwd: folder }).catch((thrown) => thrown);
      expect(error).toMatchObject({ code: 'config_invalid' });
      expect((error as Error).message).toContain('x.yaml:1:1: does not exist');
    }
  });

  it('none at all says where it looked and what to do', async () => {
    const folder = await folderWith({});
    const error = await loadConfig(undefined, { env: {}, cwd: folder }).catch((thrown) => thrown);
    // A host may have /etc/dguard/backup.yaml; then there is nothing to see here.
    if (error instanceof DguardError) {
      const hint = expect.stringContaining('backup.example.yaml');
      expect(error).toMatchObject({ code: 'config_invalid', hint });
      expect(error.message).toContain(`${folder}/backup.yaml`);
    }
  });
});
