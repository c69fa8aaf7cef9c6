// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { chmod } from 'node:fs/promises';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { PostgresConfig } from '../../src/config/types/datasources.ts';
import { brief, folderWith, load, problemsOf, yamlWith } from './fixture.ts';

const pg = (extra: string) => yamlWith({ datasource: `type: postgres, host: h, database: x, ${extra}` });
const password = async (extra: string, given: Parameters<typeof load>[1] = {}) => {
  const { config } = await load(pg(extra), given);
  return (config.datasources['d'] as PostgresConfig).password?.reveal();
};

describe('secrets', () => {
  it.each([
    ['secret', 'secret'],
    ['secret\n', 'secret'],
    ['secret\r\n', 'secret'],
    ['secret\n\n', 'secret\n'],
    [' $A ${A} \n', ' $A ${A} '],
  ])('a file %j gives %j', async (content, expected) => {
    expect(await password('password_file: s/pw', { files: { 's/pw': content } })).toBe(expected);
  });

  it('a command runs without a shell, in the folder of its file, with the environment', async () => {
    const run = (script: string) =>
      password(`password_command: [sh, -c, ${JSON.stringify(script)}, x, "$(echo no); $HOME"]`, {
        env: { PATH: process.env['PATH'], V: 'v w' },
        files: { here: 'h' },
      });
    expect(await run('printf "%s|%s|%s" "$1" "$$V" "$(cat here)"'.replace('$$V', '$V'))).toBe(
      '$(echo no); $HOME|v w|h',
    );
    expect(await run('printf "a\\n\\n"')).toBe('a\n');
  });

  it.each([
    ['password_file: none', 'datasources.d.password_file: ./none does not exist'],
    ['password_file: .', 'datasources.d.password_file: . is a folder, not a file'],
    ['password_file: empty', 'datasources.d.password_file: is empty'],
    [
      'password_command: [no-such-program-here]',
      'datasources.d.password_command: the command no-such-program-here was not found (run it by hand to see why)',
    ],
    [
      'password_command: [sh, -c, "echo hunter2; echo hunter2 >&2; exit 3"]',
      'datasources.d.password_command: the command sh failed with exit status 3 (run it by hand to see why)',
    ],
    ['password_command: ["true"]', 'datasources.d.password_command: is empty'],
    [
      'password_command: [yes]',
      'datasources.d.password_command: the command yes took too long or said too much (run it by hand to see why)',
    ],
    [
      'password_command: [printf, "\\\\351t\\\\351"]',
      'datasources.d.password_command: is no text in UTF-8 (line 1): save it as UTF-8',
    ],
    ['password_file: marked', 'datasources.d.password_file: begins with a byte order mark: save it without'],
  ])('%s is a problem', async (extra, expected) => {
    const problems = await problemsOf(pg(extra), {
      env: { PATH: process.env['PATH'] },
      files: { empty: '\n', marked: '\ufeffsecret\n' },
    });
    expect(problems).toEqual([`3:${problems[0]?.match(/^3:(\d+)/)?.[1]} ${expected}`]);
  });

  it.each([
    ['password: a', ['3:57 datasources.d.password: SHORT']],
    ['password_file: s', ['3:57 datasources.d.password_file: SHORT']],
    ['password: "${P}"', ['3:57 datasources.d.password: SHORT']],
    ['password: abcd', []],
    ['password: ""', undefined],
  ])('%s: what is too short to be taken out of messages is a warning', async (extra, expected) => {
    const given = { files: { s: 'ab\n' }, env: { P: 'abc' } };
    if (expected === undefined) {
      expect((await problemsOf(pg(extra), given)).join()).not.toContain('shorter');
      return;
    }
    const { config, warnings, folder } = await load(pg(extra), given);
    const short =
      'is shorter than 4 characters: it is not taken out of messages and logs (choose a longer one)';
    expect(warnings.map((each) => brief(each, folder))).toEqual(
      expected.map((each) => each.replace('SHORT', short)),
    );
    expect(config.datasources['d']).toMatchObject({ type: 'postgres' });
  });

  it('the password in a connection URI is what may be too short', async () => {
    const uri = (text: string) => yamlWith({ datasource: `type: mongodb, uri: "${text}"` });
    const warnings = async (text: string) => (await load(uri(text))).warnings.map(({ path }) => path);
    expect(await warnings('mongodb://u:ab@h/x')).toEqual(['datasources.d.uri']);
    for (const none of ['mongodb://u:long-one@h/x', 'mongodb://h/x', 'mongodb://u:@h/x']) {
      expect(await warnings(none)).toEqual([]);
    }
  });

  it('a command is not run while the configuration has other problems', async () => {
    const folder = await folderWith({});
    const problems = await problemsOf(pg(`port: 0, password_command: [touch, ${folder}/ran]`), {
      env: { PATH: process.env['PATH'] },
    });
    expect(problems).toEqual(['3:57 datasources.d.port: must be at least 1']);
    await expect(chmod(`${folder}/ran`, 0o600)).rejects.toThrow('ENOENT');
  });

  it('a key is 32 bytes, raw, hex or base64', async () => {
    // Ends in a newline byte, which belongs to it.
    const raw = Buffer.from([...Array(31).keys(), 0x0a]);
    const key = async (job: string, files: Readonly<Record<string, string | Buffer>> = {}) =>
      (await load(yamlWith({ job: `encryption: {${job}}` }), { files })).config.jobs[
        'j'
      ]!.encryption?.key?.reveal();
    const expected = raw.toString('base64');
    expect(await key('key_file: k', { k: raw })).toBe(expected);
    expect(await key('key_file: k', { k: `${raw.toString('hex')}\n` })).toBe(expected);
    expect(await key('key_file: k', { k: `${expected}\n` })).toBe(expected);
    expect(await key(`key: "${expected}"`)).toBe(expected);
    const short = await problemsOf(yamlWith({ job: 'encryption: {key_file: k}' }), {
      files: { k: raw.subarray(1) },
    });
    expect(short.join()).toContain('is no key');
  });

  it('a private key knows the file that it came from', async () => {
    const yaml = yamlWith({
      destination: 'type: sftp, host: h, username: u, remote_path: /r, private_key_file: k',
    });
    const { config, folder } = await load(yaml, { files: { k: 'KEY\nlines\n' } });
    const destination = config.destinations['l'] as {
      private_key?: { reveal(): string };
      private_key_file?: string;
    };
    expect([destination.private_key?.reveal(), destination.private_key_file]).toEqual([
      'KEY\nlines',
      `${folder}/k`,
    ]);
  });

  it.each([
    ['datasource', 'type: sqlserver, host: h, database: x, password: hunter2'],
    [
      'destination',
      'type: s3, bucket: bkt, access_key_id: i, secret_access_key: hunter2, session_token: hunter2',
    ],
    [
      'destination',
      'type: sftp, host: h, username: u, remote_path: r, password: hunter2, private_key: hunter2, passphrase: hunter2',
    ],
    ['destination', 'type: backblaze, bucket_name: bkt, application_key_id: i, application_key: hunter2'],
    ['notification', 'type: smtp, host: h, from: a@b, to: c@d, username: u, password: hunter2'],
    ['notification', 'type: webhook, preset: telegram, chat_id: c, token: hunter2'],
    ['notification', 'type: ping, url: "http://h/hunter2"'],
    ['job', 'encryption: {passphrase: hunter2, identity: hunter2}'],
  ])('of a %s {%s} are closed in the configuration', async (part, text) => {
    const { config } = await load(yamlWith({ [part]: text }));
    expect(inspect(config, { depth: 20 })).toContain('[redacted]');
    expect(inspect(config, { depth: 20 }) + JSON.stringify(config)).not.toContain('hunter2');
  });

  it('never stand in an error', async () => {
    const yaml = yamlWith({
      datasource: 'type: postgres, host: h, database: x, password: hunter2, port: x',
      notification: 'type: webhook, url: "hunter2://hunter2"',
    });
    expect((await problemsOf(yaml)).join()).not.toContain('hunter2');
  });
});
