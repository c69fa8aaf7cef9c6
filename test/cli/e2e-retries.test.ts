import { afterEach, beforeEach, expect, it } from 'vitest';
import { serverError as mongodbError } from '../../src/engines/mongodb/server/failures.ts';
import { serverError as mysqlError } from '../../src/engines/mysql/server/failures.ts';
import { serverError as postgresError } from '../../src/engines/postgres/server/failures.ts';
import { type Workspace, workspace } from './support.ts';

let space: Workspace;
beforeEach(() => {
  space = workspace();
});
afterEach(() => space.remove());

it.each([
  ['postgres', 'app'],
  ['postgres', 'all'],
  ['mysql', 'app'],
  ['mongodb', 'all'],
])(
  'a server that is away (%s, database: %s) is tried again, as often as the job says',
  async (type, database) => {
    space.config({
      // Nobody listens there.
      datasources: { app: { type, host: '127.0.0.1', port: 1, database, username: 'u', password: 'p' } },
      destinations: { here: { type: 'local', path: './backups' } },
      jobs: { j: { datasources: ['app'], destinations: ['here'], retries: 1 } },
    });
    const run = await space.run('backup', 'j');
    expect(run.code, run.stderr).toBe(1);
    expect(run.stderr.match(/attempt \d of \d follows/g)).toEqual(['attempt 2 of 2 follows']);
  },
);

it('a wrong password stays wrong: nobody tries again', () => {
  const failures = [
    postgresError(Object.assign(new Error('no'), { code: '28P01' }), 'target_failed', 'recover', 'app'),
    mysqlError(
      Object.assign(new Error('Access denied for user'), { errno: 1045 }),
      'target_failed',
      'x',
      'app',
    ),
    mongodbError(
      Object.assign(new Error('no'), { name: 'MongoServerError', code: 18 }),
      'target_failed',
      'x',
      'app',
    ),
  ];
  expect(failures.map(({ lasting }) => lasting)).toEqual([true, true, true]);
});
