import { describe, expect, it } from 'vitest';
import { problemsOf } from './fixture.ts';

describe('bad values', () => {
  it.each([
    ['version: 2\n', '1:1 version: must be 1'],
    ['jobs: {}\n', '1:1 version: is required: 1'],
    ['version: 1\njob: {}\n', '2:1 job: is no key that is known here (did you mean jobs?)'],
    ['version: 1\njobs: []\n', '2:1 jobs: must be a mapping of names'],
    ['- 1\n', '1:1 : must be a mapping of sections'],
    ['', '1:1 : is empty; copy backup.example.yaml, which shows every key'],
    ['# later\n', '1:1 : is empty; copy backup.example.yaml, which shows every key'],
    [
      'version: 1\ndestinations: {-x: {type: local, path: p}}\n',
      '2:16 destinations.-x: a name has letters, digits and . _ - only, begins with a letter or digit, and has at most 100',
    ],
    [
      'version: 1\ndestinations: {__proto__: {type: local, path: p}}\n',
      '2:16 : __proto__ is no key that can be used',
    ],
  ])('%j as a whole', async (yaml, expected) => expect(await problemsOf(yaml)).toEqual([expected]));

  it('a datasource that is called as a database of another one of the job', async () => {
    const yaml = (database: string) => `version: 1
datasources:
  pg: { type: postgres, host: h, database: ${database} }
  pg.eu: { type: sqlite, file_path: /f }
destinations: { d: { type: local, path: /b } }
jobs:
  j: { datasources: [pg, pg.eu], destinations: [d] }
`;
    const problems = [
      '7:26 jobs.j.datasources[1]: "pg.eu" may be the name of a database of pg too: their histories would be one (give the datasource another name, without the dot)',
    ];
    expect(await problemsOf(yaml('all'))).toEqual(problems);
    expect(await problemsOf(yaml('[eu, us]'))).toEqual(problems);
    expect(await problemsOf(yaml('one'))).toEqual([]);
  });

  it('reports everything at once, each at its place, in order', async () => {
    const yaml = `version: 1
datasources:
  db:
    type: postgres
    hots: x
    port: 99999
destinations:
  out: { type: local }
jobs:
  prod:
    datasources: [bd]
    destinations:
      - { name: out, retension: {} }
    options:
      compression: gzip
      bogus: 1
      compression_level: 22
    notify: ops
`;
    expect(await problemsOf(yaml)).toEqual([
      '3:3 datasources.db.host: is required, or else socket or uri',
      '3:3 datasources.db.database: is required: a name, a list of names, or all',
      '5:5 datasources.db.hots: is no key that is known here (did you mean host?)',
      '6:5 datasources.db.port: must be at most 65535',
      '8:3 destinations.out.path: is required',
      '11:19 jobs.prod.datasources[0]: names the datasource "bd", which is not defined (did you mean db?)',
      '13:22 jobs.prod.destinations[0].retension: is no key that is known here (did you mean retention?)',
      '16:7 jobs.prod.options.bogus: is no key that is known here',
      '17:7 jobs.prod.options.compression_level: must lie between 1 and 9 for gzip',
      '18:5 jobs.prod.notify[0]: names the notification "ops", which is not defined (no notification is defined)',
    ]);
  });
});
