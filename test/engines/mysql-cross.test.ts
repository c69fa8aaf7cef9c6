import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { mysqlEngine } from '../../src/engines/mysql/engine.ts';
import type { EngineSource } from '../../src/engines/types.ts';
import { backUp, describeWithMysql, makeBench, picture } from './support-mysql.ts';

const OBJECTS = readFileSync(join(import.meta.dirname, 'support-mysql-objects.sql'), 'utf8');

describeWithMysql(
  ['mysql-9.7', 'mariadb-11.8'],
  "mysql: each server by the other's tools",
  ([mysql, mariadb]) => {
    for (const which of ['mysql', 'mariadb'] as const) {
      it(`${which}: objects come back equal, with a warning`, async () => {
        const [server, other] = which === 'mysql' ? [mysql!(), mariadb!()] : [mariadb!(), mysql!()];
        const bench = await makeBench(server, 'dgc_', other.bin);
        try {
          // An unpacked client does not find its plugins where it was built for.
          const env = { ...process.env, PATH: '', MARIADB_PLUGIN_DIR: mariadb!().pluginFolder };
          const source = <T>(made: EngineSource<T>): EngineSource<T> => ({ ...made, env });
          await bench.database('dgc_objects', OBJECTS);
          const before = await picture(bench, 'dgc_objects');
          const content = await backUp(source(bench.source('dgc_objects')));
          expect(content.facts.tool_version!.includes('MariaDB')).toBe(which === 'mysql');
          const request = bench.request('dgc_objects', {
            toDatabase: 'dgc_new',
            source: source(bench.source('dgc_new')),
          });
          await mysqlEngine.restore(content, request);
          expect(await picture(bench, 'dgc_new')).toEqual(before);
          expect(bench.warnings.map(({ message }) => message).join()).toMatch(/the client tools are/);
        } finally {
          await bench.remove();
        }
      }, 60_000);
    }
  },
);
