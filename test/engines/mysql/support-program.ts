import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { runDguard } from '../../cli/support.ts';
import type { MysqlServer } from '../../services/mysql.mjs';
import type { Bench } from './support.ts';

/** The program, with configurations of its own in a folder of the bench; `good` expects it to end with 0. */
export function programFor(server: () => MysqlServer, bench: () => Bench) {
  /** Of its own for each configuration: histories do not mix. */
  let store = '';
  const home = () => join(bench().folder, 'home');

  function configure(datasources: object, options: object = {}): void {
    mkdirSync(home(), { recursive: true });
    store = mkdtempSync(join(home(), 'store-'));
    const config = {
      version: 1,
      defaults: { temp_dir: join(bench().folder, 'temp') },
      datasources,
      destinations: { store: { type: 'local', path: store } },
      jobs: {
        job: {
          datasources: Object.keys(datasources),
          destinations: ['store'],
          options,
          gate: { enabled: false },
        },
      },
    };
    writeFileSync(join(home(), 'backup.yaml'), JSON.stringify(config), { mode: 0o600 });
    writeFileSync(join(home(), 'password'), server().password, { mode: 0o600 });
  }
  const source = (more: object = {}) => ({
    type: 'mysql',
    host: server().host,
    port: server().port,
    username: server().user,
    password_file: join(home(), 'password'),
    ...(server().bin === undefined ? {} : { client_path: server().bin }),
    ...more,
  });
  const run = (...args: string[]) => runDguard([...args, '--no-progress'], { cwd: home() });
  const good = async (...args: string[]) => {
    const outcome = await run(...args);
    expect(outcome.code, `${args.join(' ')}\n${outcome.stderr}${outcome.stdout}`).toBe(0);
    return outcome;
  };

  return { configure, source, run, good, home, store: () => store };
}
