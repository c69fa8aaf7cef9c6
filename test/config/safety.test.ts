// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { chmod, chown } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { loadConfig, validateConfig } from '../../src/config/load.ts';
import { configProblems, usableNotifications } from '../../src/config/problems.ts';
import { brief, folderWith, yamlWith } from './fixture.ts';

const EMPTY = 'version: 1\n';
const pg = (extra: string) => yamlWith({ datasource: `type: postgres, host: h, database: x, ${extra}` });

describe('who may touch the files', () => {
  const SECRET = pg('password: hunter2');
  async function check(
    mode: number,
    yaml: string,
    options: { uid?: number; trustConfig?: boolean; env?: Record<string, string> } = {},
  ) {
    const folder = await folderWith({ 'backup.yaml': yaml, pw: 'long-one' });
    await chmod(`${folder}/backup.yaml`, mode);
    const { problems } = await validateConfig('backup.yaml', { env: {}, cwd: folder, uid: 1000, ...options });
    return problems.map((problem) => `${problem.severity} ${brief(problem, folder)}`);
  }
  const readable = [
    'unsafe 1:1 : can be read by anyone and holds a secret in clear (chmod 600 ./backup.yaml)',
  ];

  it('readable by all with a secret in clear is refused', async () => {
    expect(await check(0o644, SECRET)).toEqual(readable);
    expect(await check(0o644, pg('password: "${P:-hunter2}"'))).toEqual(readable);
    expect(await check(0o644, pg('password: 1'))).not.toEqual([]);
    expect(await check(0o644, yamlWith({ datasource: 'type: mysql, uri: "mysql://u:pw@h/d"' }))).toEqual(
      readable,
    );
    expect(
      await check(0o644, yamlWith({ datasource: 'type: mysql, uri: "mysql://u:${A:-pw}@h/d"' })),
    ).toEqual(readable);
    expect(
      await check(0o644, yamlWith({ notification: 'type: webhook, url: "http://h", headers: {A: b}' })),
    ).toEqual(readable);
  });

  it('readable by all without one is fine', async () => {
    const env = { P: 'long-one' };
    expect(await check(0o644, pg('password: "${P}"'), { env })).toEqual([]);
    expect(await check(0o644, pg('password_file: pw'))).toEqual([]);
    expect(
      await check(0o644, yamlWith({ datasource: 'type: mysql, uri: "mysql://u:${P}@h/d"' }), { env }),
    ).toEqual([]);
    expect(await check(0o644, yamlWith({ datasource: 'type: mysql, uri: "mysql://h:3306/d"' }))).toEqual([]);
    expect(await check(0o640, SECRET)).toEqual([]);
  });

  it('writable by all is refused always, by the group (umask 002) a warning', async () => {
    expect(await check(0o606, EMPTY)).toEqual([
      'unsafe 1:1 : can be written by anyone (chmod go-w ./backup.yaml)',
    ]);
    expect(await check(0o606, EMPTY, { trustConfig: true, uid: 0 })).toHaveLength(1);
    expect(await check(0o664, EMPTY)).toEqual([
      'warning 1:1 : can be written by its group (chmod go-w ./backup.yaml)',
    ]);
  });

  it('the code is config_unsafe, and nothing is opened or notified then', async () => {
    const folder = await folderWith({ 'backup.yaml': pg('password_file: missing') });
    await chmod(`${folder}/backup.yaml`, 0o666);
    const error = await loadConfig('backup.yaml', { env: {}, cwd: folder, uid: 1000 }).catch(
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ code: 'config_unsafe', exitStatus: 2 });
    expect(configProblems(error)).toHaveLength(1);
    expect(usableNotifications(error)).toEqual([]);
  });

  it('includes and secret files are held to the same', async () => {
    const folder = await folderWith({
      'backup.yaml': `include: i.yaml\n${pg('password_file: pw')}`,
      pw: 'long-one',
      'i.yaml': EMPTY,
    });
    await chmod(`${folder}/i.yaml`, 0o602);
    const options = { env: {}, cwd: folder, uid: 1000 };
    const messages = async () =>
      (await validateConfig(undefined, options)).problems.map((problem) =>
        `${problem.severity} ${problem.message}`.replace(folder, '.'),
      );
    expect(await messages()).toEqual(['unsafe can be written by anyone']);
    await chmod(`${folder}/i.yaml`, 0o600);
    await chmod(`${folder}/pw`, 0o602);
    expect(await messages()).toEqual(['unsafe ./pw can be written by anyone']);
    await chmod(`${folder}/pw`, 0o660);
    expect(await messages()).toEqual(['warning ./pw can be written by its group']);
  });

  // Only root can give a file away, and only for root it matters.
  it.runIf(process.getuid?.() === 0)(
    'commands out of the file of another user are not for root',
    async () => {
      const run = async (yaml: string, options: { uid: number; trustConfig?: boolean }) => {
        const folder = await folderWith({ 'backup.yaml': yaml });
        await chown(`${folder}/backup.yaml`, 12_345, 12_345);
        const { problems } = await validateConfig('backup.yaml', {
          env: { PATH: process.env['PATH'] },
          cwd: folder,
          ...options,
        });
        return problems.map((problem) => `${problem.severity} ${brief(problem, folder)}`);
      };
      const refused = [
        'unsafe 1:1 : holds commands for root to run, and belongs to user id 12345 (chown root ./backup.yaml, or --trust-config)',
      ];
      const command = pg('password_command: [echo, long-one]');
      expect(await run(command, { uid: 0 })).toEqual(refused);
      expect(await run(yamlWith({ job: 'hooks: {before: x}' }), { uid: 0 })).toEqual(refused);
      expect(await run(pg('client_command: [x]'), { uid: 0 })).toEqual(refused);
      expect(await run(pg('client_path: /x'), { uid: 0 })).toEqual(refused);
      expect(await run(command, { uid: 0, trustConfig: true })).toEqual([]);
      expect(await run(command, { uid: 1000 })).toEqual([]);
      expect(await run(pg('username: x'), { uid: 0 })).toEqual([]);
    },
  );
});
