import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/config/secret.ts';
import type { SqlserverOptions } from '../../../src/engines/sqlserver/options.ts';
import { connectionOf } from '../../../src/engines/sqlserver/server/connection.ts';
import { describeServer } from '../../../src/engines/sqlserver/server/server-info.ts';
import { sqlserverSource } from './support.ts';

describe('where a server is', () => {
  const of = (options: Partial<SqlserverOptions>) => connectionOf(sqlserverSource(options).options, 'ms');
  it('host, port, instance', () => {
    expect(of({ host: 'db' })).toMatchObject({ host: 'db', port: 1433, ssl: 'prefer' });
    expect(of({ host: 'db\\SQLEXPRESS' })).toMatchObject({ host: 'db', instance: 'SQLEXPRESS' });
    expect(of({ host: 'db\\SQLEXPRESS' })).not.toHaveProperty('port');
  });
  it('a uri, with what it holds', () => {
    const uri = new Secret(
      'sqlserver://us%40er:p%2Fw@[::1]:1444/my%20db?encrypt=true&trustServerCertificate=true',
    );
    const bare = sqlserverSource({}).options;
    const { host: _h, username: _u, password: _p, ...rest } = bare;
    expect(connectionOf({ ...rest, uri } as SqlserverOptions, 'ms')).toEqual({
      host: '::1',
      port: 1444,
      user: 'us@er',
      password: 'p/w',
      database: 'my db',
      ssl: 'require',
    });
  });
  it.each([
    ['a socket', { socket: '/x' }, /no Unix socket/],
    ['instance and port', { host: 'a\\b', port: 1 }, /named instance and a port/],
    ['a client command', { client_command: ['docker'] }, /no client tool/],
    ['a uri of another kind', { uri: new Secret('postgres://h/d') }, /does not begin with sqlserver/],
    ['an unknown parameter', { uri: new Secret('mssql://h/d?foo=1') }, /foo=1/],
  ])('refuses %s', (_, options, message) => expect(() => of(options)).toThrow(message));
});

it('editions: what a server can', () => {
  const of = (engine: number, more = {}) =>
    describeServer({
      version: '15.0.2000.5',
      engine,
      edition: 'x',
      name: 'n',
      data: '',
      logs: null,
      login: 'l',
      ...more,
    });
  expect(of(3)).toMatchObject({ major: 15, compresses: true, isAzure: false });
  expect(of(4)).toMatchObject({ compresses: false });
  expect(of(5)).toMatchObject({ isAzure: true });
  expect(of(3)).not.toHaveProperty('dataPath');
  expect(() => of(3, { version: null })).toThrow(/what version/);
});
