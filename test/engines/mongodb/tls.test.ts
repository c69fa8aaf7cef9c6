import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import { mongodbEngine } from '../../../src/engines/mongodb/engine.ts';
import type { MongodbOptions } from '../../../src/engines/mongodb/options.ts';
import { hasMongodb, type MongodbServer, startMongodb } from '../../services/mongodb.mjs';
import { describeWithCommands } from '../../services/needs.ts';
import { certificatesIn } from '../support-certificates.ts';
import { type Bench, backUp, makeBench } from './support.ts';

const describeHere = hasMongodb() ? describe : describe.skip;

describeWithCommands(['openssl'], 'mongodb: TLS', () =>
  describeHere('a server of its own authority [needs FerretDB: npm run services]', () => {
    let bench: Bench;
    let server: MongodbServer;
    let folder: string;
    const { path, authority, certify } = certificatesIn(() => folder);

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'dguard-mongo-tls-'));
      chmodSync(folder, 0o755);
      authority('ca');
      authority('stranger');
      certify('server', 'localhost', 'subjectAltName=DNS:localhost\n');
      certify('client', 'anybody');
      chmodSync(path('server.key'), 0o644);
      server = await startMongodb({
        tls: { cert: path('server.pem'), key: path('server.key'), ca: path('ca.pem') },
      });
      bench = await makeBench(server, 'dgt_');
      await bench
        .db('dgt_app')
        .collection('t')
        .insertMany([{ a: 1 }, { a: 2 }]);
    });
    afterAll(async () => {
      await bench?.remove();
      await server?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    const over = ({ host = 'localhost', ...options }: Partial<MongodbOptions>) => {
      const login = [server.user, server.password].map(encodeURIComponent).join(':');
      const uri = `mongodb://${login}@${host}:${server.tlsPort}/?authSource=admin&serverSelectionTimeoutMS=1000&directConnection=true`;
      const source = bench.source('dgt_app', {
        ssl_cert: path('client.pem'),
        ssl_key: path('client.key'),
        ...options,
        uri: new Secret(uri),
      });
      const { host: _, port: __, username: ___, password: ____, ...rest } = source.options;
      return { ...source, options: rest };
    };
    const status = async (options: Partial<MongodbOptions>) => {
      const { status: is, message = '' } = await mongodbEngine.probe(over(options));
      return `${is} ${message}`;
    };

    it('verify-full: an authority of our own, and the name that the server is called by', async () => {
      const options = { ssl: 'verify-full', ssl_ca: path('ca.pem') } as const;
      expect(await status(options)).toMatch(/^ok/);
      expect((await backUp(over(options))).facts.rows).toBe(2);
      expect(await status({ ...options, host: '127.0.0.1' })).toMatch(
        /^(error|unreachable) .*(does not match|altnames)/i,
      );
      expect(await status({ ...options, ssl_ca: path('stranger.pem') })).toMatch(
        /^(error|unreachable) .*certificate/i,
      );
      expect(await status({ ssl: 'verify-full' })).toMatch(/^(error|unreachable) .*certificate/i);
      const hint = (part: string) => ({ hint: expect.stringContaining(part) });
      await expect(backUp(over({ ssl: 'verify-full' }))).rejects.toMatchObject(hint('ssl_ca: FILE'));
      await expect(backUp(over({ ...options, host: '127.0.0.1' }))).rejects.toMatchObject(hint('verify-ca'));
    });

    it('verify-ca and require: as far as they say', async () => {
      expect(await status({ ssl: 'verify-ca', ssl_ca: path('ca.pem'), host: '127.0.0.1' })).toMatch(/^ok/);
      expect(await status({ ssl: 'verify-ca', ssl_ca: path('stranger.pem') })).toMatch(/certificate/i);
      expect(await status({ ssl: 'require', host: '127.0.0.1' })).toMatch(/^ok/);
      expect(await status({ ssl: 'require', ssl_ca: path('stranger.pem') })).toMatch(/certificate/i);
    });

    it('no certificate of ours, or no TLS at all, where the server wants it', async () => {
      const { ssl_cert: _, ssl_key: __, ...bare } = over({ ssl: 'require' }).options;
      const health = await mongodbEngine.probe({ ...over({}), options: bare });
      expect(health.status).not.toBe('ok');
      expect(await status({ ssl: 'disable' })).not.toMatch(/^ok/);
    });
  }),
);
