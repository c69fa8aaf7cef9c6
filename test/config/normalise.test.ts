import { describe, expect, it } from 'vitest';
import { load, problemsOf, yamlWith } from './fixture.ts';

describe('good values', () => {
  it('a name may be that of an inherited property', async () => {
    const yaml = 'version: 1\ndestinations: {constructor: {type: local, path: p}}\n';
    const { config } = await load(yaml);
    expect(Object.keys(config.destinations)).toEqual(['constructor']);
    expect(config.jobs['toString']).toBeUndefined();
  });

  it('normalises single values, shorthand, durations, sizes, words and defaults', async () => {
    const { config, folder } = await load(
      yamlWith({
        datasource: 'type: mysql, host: h, database: all, ssl: true, tags: t',
        destination: 'type: s3, bucket: bkt, prefix: a/b/, object_lock: {mode: compliance, retain_for: 30d}',
        job: `schedule: ["0 3 * * *", {cron: "@weekly", type: full}], type: incremental, full_every: 7d, expires: 1h,
  retention: {keep_within: 2d, keep_last: 3}, options: {bandwidth_limit: 1MB, compression: lz4, include_tables: "a*"},
  hooks: {before: echo hi, after: [[a, b], c]}, notify: n, timeout: 90s`,
      }),
    );
    expect(config.datasources['d']).toEqual({
      name: 'd',
      type: 'mysql',
      host: 'h',
      database: [],
      all_databases: true,
      ssl: 'verify-full',
      tags: ['t'],
      client_path: [],
      client_command: [],
    });
    expect(config.destinations['l']).toEqual({
      name: 'l',
      type: 's3',
      bucket: 'bkt',
      prefix: 'a/b',
      path_template: '{job}/{datasource}/{id}',
      optional: false,
      object_lock: { mode: 'compliance', retain_for_ms: 2_592_000_000 },
    });
    const retention = { keep_last: 3, keep_within_ms: 172_800_000, auto_delete: false };
    expect(config.jobs['j']).toEqual({
      name: 'j',
      datasources: ['d'],
      destinations: [{ name: 'l', retention }],
      strategy: 'all',
      timezone: 'UTC',
      schedule: [
        { cron: '0 3 * * *', type: 'incremental' },
        { cron: '@weekly', type: 'full' },
      ],
      type: 'incremental',
      full_every_ms: 604_800_000,
      expires_ms: 3_600_000,
      retention,
      options: {
        compression: 'lz4',
        format: 'native',
        include_tables: ['a*'],
        exclude_tables: [],
        bandwidth_limit_bytes: 1_000_000,
        self_dedup: false,
      },
      hooks: { before: ['echo hi'], after: [['a', 'b'], 'c'], on_success: [], on_error: [] },
      notify: ['n'],
      timeout_ms: 90_000,
      retries: 0,
      gate: {
        enabled: true,
        min_size_percent: 50,
        min_rows_percent: 50,
        min_files_percent: 50,
        allow_empty: false,
      },
      same_source: false,
      formerly: [],
      tags: {},
    });
    expect(config.notifications['n']).toMatchObject({
      port: 587,
      security: 'starttls',
      to: ['c@d'],
      timeout_ms: 10_000,
    });
    expect(folder).not.toBe('');
  });

  it('two destinations of a job are two places', async () => {
    const yaml = (b: string, list: string) => `version: 1
datasources: {d: {type: sqlite, file_path: a.db}}
destinations: {a: {type: local, path: a}, b: {type: local, ${b}}}
jobs: {j: {datasources: d, destinations: ${list}}}
`;
    expect(await problemsOf(yaml('path: x/../a', '[a, b]'))).toEqual([
      '4:46 jobs.j.destinations[1]: "b" is the same folder as "a" (leave one of them out)',
    ]);
    expect(await problemsOf(yaml('path: a', '[{name: a}, {name: b}]'))).toHaveLength(1);
    expect(await problemsOf(yaml('path: a', '[b]'))).toEqual([]);
    expect(await problemsOf(yaml('path: a, path_template: "b/{id}"', '[a, b]'))).toEqual([]);
  });

  it('a destination of a job may have its own retention', async () => {
    const { config } = await load(`version: 1
datasources: {d: {type: sqlite, file_path: a.db}}
destinations: {a: {type: local, path: a}, b: {type: local, path: b}}
jobs: {j: {datasources: d, destinations: [a, {name: b, retention: {keep_last: 1}}], retention: {keep_last: 9}}}
`);
    expect(config.jobs['j']!.destinations).toEqual([
      { name: 'a', retention: { keep_last: 9, auto_delete: false } },
      { name: 'b', retention: { keep_last: 1, auto_delete: false } },
    ]);
  });

  it('paths are relative to the file that holds them, ~/ is home', async () => {
    const { config, folder } = await load('version: 1\ninclude: sub/x.yaml\ndefaults: {temp_dir: t}\n', {
      env: { HOME: '/home/u' },
      cwd: '/',
      files: {
        'sub/x.yaml': `datasources: {f: {type: files, source_path: [a, ../b, /c, ~/d]}}
destinations: {l: {type: local, path: .}}
`,
      },
    });
    expect(config.defaults.temp_dir).toBe(`${folder}/t`);
    expect(config.datasources['f']).toMatchObject({
      source_path: [`${folder}/sub/a`, `${folder}/b`, '/c', '/home/u/d'],
    });
    expect(config.destinations['l']).toMatchObject({ path: `${folder}/sub` });
  });

  it('mongodb without a database is all of them', async () => {
    const { config } = await load(yamlWith({ datasource: 'type: mongodb, host: h' }));
    expect(config.datasources['d']).toMatchObject({ all_databases: true, database: [] });
  });

  it.each([
    ['mongodb+srv://h.example.org', true],
    ['mongodb://h:1,i:2/?replicaSet=r/s', true],
    ['mongodb://user:a%2Fb@h/app?x=y', false],
    ['mongodb://h/app', false],
  ])('of mongodb by the uri %s too, where it names none', async (uri, all) => {
    const { config } = await load(yamlWith({ datasource: `type: mongodb, uri: "${uri}"` }));
    expect(config.datasources['d']).toMatchObject({ all_databases: all, database: [] });
  });

  it('auto_delete with nothing to apply is a warning', async () => {
    const { warnings } = await load(yamlWith({ job: 'retention: {auto_delete: true}' }));
    expect(warnings.map((warning) => [warning.severity, warning.path])).toEqual([
      ['warning', 'jobs.j.retention.auto_delete'],
    ]);
  });
});
