import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Db, GridFSBucket } from 'mongodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { StreamMember } from '../../../src/engines/member.ts';
import { document, element, TYPE } from '../../../src/engines/mongodb/bson/bson.ts';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import { insertOf, rawDocuments, rawInsert } from '../../../src/engines/mongodb/server/raw.ts';
import type { BackupContent } from '../../../src/engines/types.ts';
import { noise } from '../../archive/support.ts';
import { errorOf } from '../../error-of.ts';
import { mongoTools } from '../../services/mongodb.mjs';
import {
  type Bench,
  backUp,
  bytesOf,
  contentOf,
  contentOfMembers,
  describeWithMongodb,
  dumpRequest,
  makeBench,
  picture,
} from './support.ts';
import { DOCUMENTS } from './support-values.ts';

const run = promisify(execFile);

describeWithMongodb('mongodb: dump', (server) => {
  let bench: Bench;
  let db: Db;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgm_');
    db = bench.db('dgm_all');
    await rawInsert(db, 'types', insertOf(Object.values(DOCUMENTS)));
    const many = db.collection<{ _id: number }>('Many Things');
    await many.insertMany(
      Array.from({ length: 3000 }, (_, i) => ({ _id: i, n: i % 7, t: `text ${i}`, at: [i % 100, i % 50] })),
    );
    await many.createIndexes([
      {
        key: new Map<string, 1 | -1>([
          ['n', 1],
          ['10', -1],
          ['2', 1],
        ]),
        name: 'compound',
      },
      { key: { t: 1 }, name: 'unique', unique: true },
      { key: { s: 1 }, name: 'sparse', sparse: true },
      { key: { d: 1 }, name: 'ttl', expireAfterSeconds: 3600 },
      { key: { n: -1 }, name: 'partial', partialFilterExpression: { n: { $gt: 3 } } },
      { key: { h: 'hashed' }, name: 'hashed' },
      { key: { at: '2d' }, name: 'flat' },
      { key: { p: '2dsphere' }, name: 'sphere' },
      { key: { t: 'text' }, name: 'words', default_language: 'german', weights: { t: 3 } },
      { key: { 'w.$**': 1 }, name: 'wild' },
    ]);
    await db.createCollection('empty');
    const bucket = new GridFSBucket(db, { chunkSizeBytes: 1024 });
    await new Promise((resolve, reject) => {
      bucket.openUploadStream('picture').end(noise(10_000)).on('finish', resolve).on('error', reject);
    });
  });
  beforeEach(() => {
    bench.warnings.length = 0;
  });
  afterAll(() => bench?.remove());

  it('every type of BSON, kind of index and GridFS come back byte for byte', async () => {
    const content = await backUp(bench.source('dgm_all'));
    expect(content.facts).toMatchObject({
      consistency: 'none',
      database_version: expect.stringMatching(/^(FerretDB|MongoDB) \d/),
      tables_count: 5,
      rows: 3000 + Object.keys(DOCUMENTS).length + 11,
      engine: { database: 'dgm_all' },
    });
    expect((await bytesOf(content, 'dgm_all/types.bson')).toString('hex')).toBe(
      (await rawDocuments(db, { find: 'types' })).map((one) => one.toString('hex')).join(''),
    );
    const files: string[] = [];
    for await (const { type, path } of content.entries()) if (type === 'stream') files.push(path);
    expect(files).toEqual(
      ['Many+Things', 'empty', 'fs.chunks', 'fs.files', 'types'].flatMap((name) => [
        `dgm_all/${name}.bson`,
        `dgm_all/${name}.metadata.json`,
      ]),
    );
    expect(
      await mongodbEngine.inspect(content, { ...bench.request('x'), env: {}, onProgress: () => {} }),
    ).toEqual([]);
    const { target, tables } = await mongodbEngine.restore(content, bench.request('dgm_back'));
    expect(target).toBe('dgm_back');
    expect(tables!.find(({ name }) => name === 'Many Things')).toEqual({ name: 'Many Things', rows: 3000 });
    expect(plain(await picture(bench.db('dgm_back')))).toEqual(plain(await picture(db)));
    expect(bench.warnings).toMatchObject([
      { message: expect.stringContaining('documents expire in Many Things (TTL)'), partial: false },
    ]);
  });

  it('as JSONL too', async () => {
    const content = await backUp(bench.source('dgm_all'), { format: 'jsonl' });
    const lines = (await bytesOf(content, 'types.jsonl')).toString('utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(Object.keys(DOCUMENTS).length);
    expect(JSON.parse(lines.find((line) => line.includes('9007199254740993'))!)).toMatchObject({
      int64: { $numberLong: '9007199254740993' },
      empty: '',
    });
    const schema = JSON.parse((await bytesOf(content, 'Many+Things.schema.json')).toString('utf8'));
    expect(schema).toMatchObject({
      format: 'dguard-mongodb-jsonl',
      rows: 3000,
      metadata: { collectionName: 'Many Things' },
    });
    expect(
      await mongodbEngine.inspect(content, { ...bench.request('x'), env: {}, onProgress: () => {} }),
    ).toEqual([]);
    await mongodbEngine.restore(content, bench.request('dgm_lines'));
    expect(plain(await picture(bench.db('dgm_lines')))).toEqual(plain(await picture(db)));
    const scratch = await mongodbEngine.restore(content, bench.request('dgm_all', { scratch: true }));
    expect(scratch.tables).toHaveLength(5);
  });

  it.each(['native', 'jsonl'] as const)(
    'collections with names of something else, and what lies very deep in a document, come back as %s',
    async (format) => {
      const odd = bench.db('dgm_odd');
      const names = [
        'constructor',
        '__proto__',
        'x.jsonl',
        'x.bson',
        'x.metadata.json',
        'x.schema',
        'a/b',
        '%41',
      ];
      for (const name of names) await odd.collection(name).insertOne({ name });
      // FerretDB takes more than MongoDB's 200.
      let deep = document([]);
      for (let depth = 0; depth < (server().pid === undefined ? 90 : 220); depth++)
        deep = document([element(TYPE.document, 'd', deep)]);
      await rawInsert(odd, 'deep', insertOf([deep]));
      const content = await backUp(bench.source('dgm_odd'), { format });
      const inspect = { ...bench.request('x'), env: {}, onProgress: () => {} };
      expect(await mongodbEngine.inspect(content, inspect)).toEqual([]);
      await mongodbEngine.restore(content, bench.request('dgm_odd_back'));
      expect(plain(await picture(bench.db('dgm_odd_back')))).toEqual(plain(await picture(odd)));
      for (const name of ['dgm_odd', 'dgm_odd_back']) await bench.db(name).dropDatabase();
    },
  );

  it('mongorestore loads what was dumped, and what mongodump writes is restored', async ({ skip }) => {
    const tools = mongoTools();
    if (tools === undefined) return skip('needs mongodump and mongorestore: npm run services');
    const config = join(bench.folder, 'tools.yaml');
    await writeFile(config, `password: ${JSON.stringify(server().password)}\n`, { mode: 0o600 });
    const access = [
      `--host=${server().host}`,
      `--port=${server().port}`,
      `--username=${server().user}`,
    ].concat(['--authenticationDatabase=admin', `--config=${config}`]);
    const content = await backUp(bench.source('dgm_all'));
    for await (const entry of content.entries()) {
      if (entry.type !== 'stream') continue;
      const path = join(bench.folder, 'ours', entry.path);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, await bytesOf(content, entry.path));
    }
    const loaded = await run(tools.mongorestore, [
      ...access,
      '--nsFrom=dgm_all.*',
      '--nsTo=dgm_tool.*',
      join(bench.folder, 'ours'),
    ]);
    expect(loaded.stderr).toMatch(/0 document\(s\) failed to restore/);
    expect(plain(await picture(bench.db('dgm_tool')))).toEqual(plain(await picture(db)));

    await run(tools.mongodump, [...access, '--db=dgm_all', `--out=${join(bench.folder, 'theirs')}`]);
    const members: StreamMember[] = [];
    for (const file of (await readdir(join(bench.folder, 'theirs', 'dgm_all'))).sort()) {
      members.push({
        kind: 'stream',
        path: `dgm_all/${file}`,
        media: 'application/octet-stream',
        format: 'bson',
        async *open() {
          yield await readFile(join(bench.folder, 'theirs', 'dgm_all', file));
        },
      });
    }
    expect(members.length).toBeGreaterThanOrEqual(10);
    await mongodbEngine.restore(await contentOfMembers(members), bench.request('dgm_theirs'));
    expect(plain(await picture(bench.db('dgm_theirs')))).toEqual(plain(await picture(db)));
    // And both tools write the same.
    for (const { path } of members) {
      if (!path.endsWith('.bson')) continue;
      expect(
        (await bytesOf(content, path)).equals(await readFile(join(bench.folder, 'theirs', path))),
        path,
      ).toBe(true);
    }
  });

  it('documents as large as they may be, and an empty database', async () => {
    const large = bench.db('dgm_large');
    for (const [_id, size] of [15.9, 0.001, 5, 0.001, 9].entries())
      await large
        .collection<{ _id: number }>('large')
        .insertOne({ _id, b: noise(size * 1024 * 1024, _id) } as never);
    const content = await backUp(bench.source('dgm_large'));
    const lines = await backUp(bench.source('dgm_large'), { format: 'jsonl' });
    for (const [backup, name] of [
      [content, 'dgm_large_1'],
      [lines, 'dgm_large_2'],
    ] as const) {
      await mongodbEngine.restore(backup, bench.request(name));
      expect(await picture(bench.db(name))).toEqual(await picture(large));
    }
    await bench.db('dgm_empty').createCollection('a');
    const one = await backUp(bench.source('dgm_empty'));
    await bench.db('dgm_empty').dropCollection('a');
    await bench.db('dgm_empty').createCollection('b');
    await mongodbEngine.restore(one, bench.request('dgm_empty', { overwrite: true }));
    expect(Object.keys(await picture(bench.db('dgm_empty')))).toEqual(['a']);
  });

  it('indexes made while it is dumped are a warning', async () => {
    const dump = await mongodbEngine.dump(bench.source('dgm_all'), dumpRequest());
    await db.collection('empty').createIndex({ late: 1 });
    try {
      await contentOf(dump);
      expect(bench.warnings.map(({ message, subject }) => `${subject} ${message}`)).toEqual([
        expect.stringMatching(/^app\/dgm_all\.empty its indexes or options were altered/),
      ]);
    } finally {
      await dump.close();
      await db.collection('empty').dropIndex('late_1');
    }
  });

  it('takes what the patterns leave, and says which match nothing', async () => {
    const content = await backUp(bench.source('dgm_all'), {
      include: ['fs.*', 'types', 'nope'],
      exclude: ['fs.files'],
    });
    expect(content.whole).toBe(false);
    const tables: string[] = [];
    for await (const entry of content.entries()) if (entry.type === 'table') tables.push(entry.table);
    expect(tables).toEqual(['fs.chunks', 'types']);
    expect(bench.warnings.map(({ message }) => message)).toEqual([
      "no collection matches the pattern 'nope'",
    ]);
    expect(await errorOf(backUp(bench.source('dgm_all'), { include: ['nope'] }))).toMatchObject({
      code: 'source_empty',
    });
    expect(await errorOf(backUp(bench.source('dgm_none')))).toMatchObject({
      code: 'source_failed',
      message: expect.stringMatching(/no database dgm_none/),
    });
  });

  it('no document that is broken, missing or too many gets past inspection or into a database', async () => {
    const content = await backUp(bench.source('dgm_all'));
    const changed = (change: (bytes: Buffer) => Buffer): BackupContent => ({
      ...content,
      async *read(entry) {
        const chunks: Buffer[] = [];
        for await (const chunk of content.read(entry)) chunks.push(Buffer.from(chunk));
        const bytes = Buffer.concat(chunks);
        yield entry.path.endsWith('Many+Things.bson') ? change(bytes) : bytes;
      },
    });
    const cases: [string, (bytes: Buffer) => Buffer][] = [
      ['cut', (bytes) => bytes.subarray(0, -3)],
      ['one less', (bytes) => bytes.subarray(bytes.readInt32LE(0))],
      ['one twice', (bytes) => Buffer.concat([bytes, bytes.subarray(0, bytes.readInt32LE(0))])],
      ['a value', (bytes) => Buffer.from(bytes.toString('latin1').replace('text 5', 'text 6'), 'latin1')],
      ['a type', (bytes) => Buffer.from(bytes.toString('latin1').replace('\x02t\0', '\x44t\0'), 'latin1')],
    ];
    for (const [name, change] of cases) {
      const bad = changed(change);
      const findings = await mongodbEngine.inspect(bad, {
        ...bench.request('x'),
        env: {},
        onProgress: () => {},
      });
      expect(findings.join(), name).toMatch(/Many Things/);
      if (name === 'a type') continue;
      expect(await errorOf(mongodbEngine.restore(bad, bench.request('dgm_bad'))), name).toMatchObject({
        code: 'corrupt',
      });
      expect(await bench.db('dgm_bad').listCollections().toArray(), name).toEqual([]);
    }
  });
});

/** Made anew from what the server says of it, a text index of FerretDB gets an option of its storage. */
function plain(found: Record<string, unknown>): unknown {
  return JSON.parse(
    JSON.stringify(found).replaceAll(String.raw`,\"storageEngine\":{\"enableOrderedIndex\":true}`, ''),
  );
}
