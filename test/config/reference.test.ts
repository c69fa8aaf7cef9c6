// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { showConfig } from '../../src/config/show.ts';
import { load, yamlWith } from './fixture.ts';

const root = path.resolve(import.meta.dirname, '../..');
const example = path.join(root, 'backup.example.yaml');

/** Every key of every mapping of the schema. */
function keysOf(schema: unknown, found = new Set<string>()): Set<string> {
  if (typeof schema !== 'object' || schema === null) return found;
  const { properties } = schema as { properties?: Record<string, unknown> };
  for (const key of Object.keys(properties ?? {})) found.add(key);
  for (const value of Object.values(schema)) keysOf(value, found);
  return found;
}

describe('backup.example.yaml', () => {
  it('is valid with an empty environment, without a warning that is its own', async () => {
    const { config, warnings } = await loadConfig(example, { env: {}, cwd: '/', uid: 1000 });
    expect(warnings.filter((warning) => !warning.message.includes('by its group'))).toEqual([]);
    expect(config.jobs['demo']).toMatchObject({
      datasources: ['demo-db', 'demo-files'],
      schedule: [],
      hooks: { before: [] },
    });
    expect(config.datasources['demo-db']).toMatchObject({
      type: 'sqlite',
      file_path: path.join(root, 'fixtures/demo/shop.db'),
    });
    expect(config.datasources['demo-files']).toMatchObject({
      type: 'files',
      source_path: [path.join(root, 'fixtures/demo/files')],
    });
    expect(config.destinations['local-backups']).toMatchObject({
      type: 'local',
      path: path.join(root, 'backups'),
    });
  });

  it('names every key of the schema', async () => {
    const text = await readFile(example, 'utf8');
    const keys = [...keysOf(configJsonSchema())];
    // The head of the file explains `_file` and `_command` once for all secrets.
    const own = keys.filter(
      (key) => !(/_(file|command)$/.test(key) && keys.includes(key.replace(/_(file|command)$/, ''))),
    );
    const secretBase = (key: string) => text.includes(`${key}_file:`);
    expect(own.filter((key) => !new RegExp(`\\b${key}:`).test(text) && !secretBase(key))).toEqual([]);
    expect(own.length).toBeGreaterThan(100);
  });

  it('stays valid when everything in it is switched on', async () => {
    const text = await readFile(example, 'utf8');
    const yaml = text
      // Two spaces and one hash before a key or an item: an example. Prose and `# #` (alternatives) stay comments.
      .replaceAll(/^ {2}# (?= *(?:[\w-]+:(?: |$)|- ))/gm, '  ')
      .replaceAll(/(\w+_file): (?:\/etc|~\/\.ssh)\S*/g, '$1: pw');
    const names = [...yaml.matchAll(/\$\{([A-Z0-9_]+)\}/g)].map((match) => match[1]!);
    const env = Object.fromEntries(names.map((name) => [name, name.endsWith('URL') ? 'https://h/x' : 'x']));
    const { config } = await load(yaml, { env, files: { pw: 'x' } });
    expect(Object.keys(config.datasources)).toEqual([
      'demo-db',
      'demo-files',
      'app-db',
      'local-db',
      'shop',
      'events',
      'ledger',
    ]);
    expect(new Set(Object.values(config.destinations).map(({ type }) => type))).toEqual(
      new Set(['local', 'sftp', 's3', 'minio', 'backblaze', 'rclone']),
    );
    expect(Object.keys(config.jobs)).toEqual(['demo', 'prod']);
    expect(Object.keys(config.notifications)).toEqual(['ops', 'phone', 'mail', 'alive']);
  });
});

describe('showConfig', () => {
  it('redacts secrets, writes durations as in the file, and loads again', async () => {
    const yaml = yamlWith({
      datasource: 'type: mongodb, uri: "mongodb://u:hunter2@h/x"',
      destination: 'type: backblaze, bucket_name: bkt, application_key_id: i, application_key: hunter2',
      notification: 'type: webhook, url: "http://h/hunter2", headers: {X: hunter2}, timeout: 5s',
      job: 'encryption: {passphrase: hunter2}, full_every: 7d, options: {bandwidth_limit: 1MB}, retention: {keep_within: 36h}',
    });
    const { config } = await load(yaml);
    const shown = showConfig(config);
    expect(JSON.stringify(shown)).not.toContain('hunter2');
    expect(shown).toMatchObject({
      datasources: { d: { uri: '[redacted]' } },
      notifications: { n: { headers: { X: '[redacted]' }, timeout: '5s' } },
      jobs: {
        j: {
          full_every: '7d',
          retention: { keep_within: '1d12h' },
          destinations: [{ name: 'l' }],
          options: { bandwidth_limit: '1000000B' },
        },
      },
    });
    const again = JSON.stringify(shown)
      .replace('"url":"[redacted]"', '"url":"http://h"')
      .replace('"uri":"[redacted]"', '"uri":"mongodb://h/x"');
    const reloaded = showConfig((await load(again)).config);
    expect(reloaded).toEqual(shown);
  });
});

describe('configJsonSchema', () => {
  const accepts = (document: unknown) =>
    z.fromJSONSchema(configJsonSchema() as never).safeParse(document).success;
  const job = (extra: object) => ({
    version: 1,
    jobs: { j: { datasources: ['d'], destinations: ['l'], ...extra } },
  });

  it('accepts the example, shorthand and variables', async () => {
    expect(accepts(parse(await readFile(example, 'utf8')))).toBe(true);
    expect(accepts(job({ datasources: 'd', destinations: 'l', schedule: '@daily', retries: '${R}' }))).toBe(
      true,
    );
    expect(
      accepts(
        job({ destinations: [{ name: 'l', retention: { keep_last: '${N:-3}' } }], same_source: '${S}' }),
      ),
    ).toBe(true);
    expect(
      accepts({
        version: 1,
        datasources: { d: { type: 'postgres', port: '${P}', ssl: true, database: 'all' } },
      }),
    ).toBe(true);
    expect(accepts({ version: 1, jobs: null })).toBe(true);
  });

  it('refuses what the loader refuses', () => {
    expect(accepts({})).toBe(false);
    expect(accepts(job({ retries: 'many' }))).toBe(false);
    expect(accepts(job({ retries: -1 }))).toBe(false);
    expect(accepts(job({ bogus: 1 }))).toBe(false);
    expect(accepts(job({ strategy: 'some' }))).toBe(false);
    expect(accepts({ version: 1, datasources: { d: { type: 'oracle' } } })).toBe(false);
    expect(accepts({ version: 1, datasources: { d: { type: 'sqlite' } } })).toBe(false);
  });
});
