import { type Db, MongoServerError, Timestamp } from 'mongodb';
import { describe, expect, it } from 'vitest';
import { document } from '../../../src/engines/mongodb/bson/bson.ts';
import { privilegeFindings } from '../../../src/engines/mongodb/diagnose.ts';
import { documentsPath, inMemberOrder } from '../../../src/engines/mongodb/dump/members.ts';
import { isMovable } from '../../../src/engines/mongodb/restore/restore-work.ts';
import type { CollectionInfo } from '../../../src/engines/mongodb/server/catalog.ts';
import { failureKind } from '../../../src/engines/mongodb/server/failures.ts';
import {
  missingActions,
  type Privilege,
  TO_DUMP,
  TO_RESTORE,
} from '../../../src/engines/mongodb/server/privileges.ts';
import {
  keepsEmptyTimestamps,
  probeSnapshot,
  type ServerInfo,
} from '../../../src/engines/mongodb/server/server-info.ts';

const INFO: ServerInfo = {
  product: 'MongoDB',
  version: '7.0.14',
  numbers: [7, 0, 14],
  role: 'primary',
  setName: 'rs0',
  maxDocumentBytes: 0,
  maxMessageBytes: 0,
  now: new Date(),
};

/** What servers answer to the two questions of the probe, as MongoDB's manual and FerretDB's answers have it. */
function answering(first: object, second: object | number): Db {
  return {
    async command({ readConcern }: { readConcern: { atClusterTime?: Timestamp } }) {
      const answer = readConcern.atClusterTime === undefined ? first : second;
      if (typeof answer === 'number') throw new MongoServerError({ message: 'refused', code: answer });
      return { cursor: { firstBatch: [], ...answer } };
    },
  } as unknown as Db;
}

describe('mongodb: what a server can do', () => {
  it('has snapshots only where it names the time that it read at, and refuses one that is long gone', async () => {
    const at = new Timestamp({ t: 1_700_000_000, i: 5 });
    const probe = (db: Db, more: Partial<ServerInfo> = {}) => probeSnapshot(db, 'c', { ...INFO, ...more });
    expect(await probe(answering({ atClusterTime: at }, 239))).toBe(at);
    expect(await probe(answering({ atClusterTime: at }, 246), { role: 'mongos' })).toBe(at);
    expect(await probe(answering({ atClusterTime: at }, { atClusterTime: at }))).toBeUndefined();
    expect(await probe(answering({}, {}))).toBeUndefined();
    expect(await probe(answering({}, 239))).toBeUndefined();
    expect(await probe(answering({ atClusterTime: at }, 9))).toBeUndefined();
    expect(await probe(answering({ atClusterTime: at }, 239), { numbers: [4, 4, 0] })).toBeUndefined();
    expect(await probe(answering({ atClusterTime: at }, 239), { role: 'standalone' })).toBeUndefined();
  });

  it.each([
    [[8, 0, 0], true],
    [[9, 1, 2], true],
    [[7, 0, 13], true],
    [[7, 0, 12], false],
    [[7, 3, 20], false],
    [[6, 0, 17], true],
    [[5, 0, 28], false],
    [[4, 4, 99], false],
  ])('%j can be told to keep empty timestamps: %s', (numbers, keeps) => {
    expect(keepsEmptyTimestamps({ ...INFO, numbers })).toBe(keeps);
    expect(keepsEmptyTimestamps({ ...INFO, product: 'FerretDB', numbers })).toBe(false);
  });

  it('cannot rename a time series, nor FerretDB what has a dot', () => {
    const of = (name: string, type: CollectionInfo['type'] = 'collection') => ({ name, type });
    expect(isMovable(of('a.b'), INFO)).toBe(true);
    expect(isMovable(of('a.b'), { ...INFO, product: 'FerretDB' })).toBe(false);
    expect(isMovable(of('ab'), { ...INFO, product: 'FerretDB' })).toBe(true);
    expect(isMovable(of('a', 'timeseries'), INFO)).toBe(false);
  });

  it('keeps a time series in buckets, and a view nowhere', () => {
    const info = (name: string, type: CollectionInfo['type']): CollectionInfo => ({
      name,
      type,
      options: document([]),
      indexes: [],
    });
    expect(documentsPath('app', info('m', 'timeseries'))).toBe('app/system.buckets.m.bson');
    expect(documentsPath('app', info('v', 'view'))).toBeUndefined();
    const order = inMemberOrder([
      info('z', 'collection'),
      info('a', 'timeseries'),
      info('a.b', 'collection'),
      info('a', 'collection'),
    ]);
    expect(order.map(({ name, type }) => `${name} ${type}`)).toEqual([
      'a.b collection',
      'a collection',
      'a timeseries',
      'z collection',
    ]);
  });

  it('lets a user do what its privileges say', () => {
    const any = { db: '', collection: '' };
    const readers: Privilege[] = [
      { resource: any, actions: TO_DUMP },
      { resource: { cluster: true }, actions: ['listDatabases'] },
    ];
    expect(missingActions(readers, 'app', TO_DUMP)).toEqual([]);
    expect(missingActions(readers, 'app', TO_RESTORE)).toContain('renameCollectionSameDB');
    expect(
      missingActions([{ resource: { anyResource: true }, actions: TO_RESTORE }], 'app', TO_RESTORE),
    ).toEqual([]);
    const elsewhere: Privilege[] = [
      { resource: { db: 'other', collection: '' }, actions: TO_DUMP },
      { resource: { db: 'app', collection: 'one' }, actions: TO_DUMP },
    ];
    expect(missingActions(elsewhere, 'app', ['find'])).toEqual(['find']);
    const [problem] = privilegeFindings('app', "o'neil", elsewhere);
    expect(problem).toMatchObject({ severity: 'problem', subject: 'app', fix: { by: 'shell' } });
    expect(problem!.fix!.lines.join()).toContain('"role":"backup"');
    expect(problem!.fix!.lines.join()).toContain(String.raw`"o'\''neil"`);
    expect(privilegeFindings('app', 'u', readers).map(({ severity }) => severity)).toEqual([
      'warning',
      'warning',
    ]);
    const own: Privilege[] = [...readers, { resource: { db: 'app', collection: '' }, actions: TO_RESTORE }];
    expect(privilegeFindings('app', 'u', own).map(({ message }) => message)).toEqual([
      expect.stringMatching(/test restore/),
    ]);
  });

  it.each([
    [new MongoServerError({ message: 'Authentication failed.', code: 18 }), 'auth_failed'],
    [new MongoServerError({ message: 'not authorized on app', code: 13 }), 'auth_failed'],
    [new MongoServerError({ message: 'x', code: 50 }), 'timeout'],
    [new MongoServerError({ message: 'x', code: 1 }), 'error'],
    [
      Object.assign(new Error('Server selection timed out'), {
        cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }),
      }),
      'unreachable',
    ],
    [new Error('getaddrinfo ENOTFOUND nowhere'), 'unreachable'],
    [new Error('connection timed out'), 'timeout'],
  ])('%s is %s', (error, kind) => {
    expect(failureKind(error)).toBe(kind);
  });
});
