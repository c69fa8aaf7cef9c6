import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runDguard, startDguard } from '../../cli/support.ts';
import type { Cut } from '../support-proxy.ts';
import { type Bench, describeWithEachMysql, makeBench, picture } from './support.ts';
import { openMysqlProxy } from './support-proxy.ts';
import { NEW, OLD } from './support-restore.ts';

const POINTS = 10;

describeWithEachMysql('mysql: a command that is killed', (server) => {
  let bench: Bench;
  let after: Record<string, string>;

  const config = (port: number) => {
    const { host, user: username, bin } = server();
    const client = bin === undefined ? {} : { client_path: bin };
    const password_file = join(bench.folder, 'password');
    const db = { type: 'mysql', host, port, username, password_file, database: 'dgk_app', ssl: 'disable' };
    return JSON.stringify({
      version: 1,
      defaults: { temp_dir: join(bench.folder, 'temp') },
      datasources: { db: { ...db, ...client } },
      destinations: { store: { type: 'local', path: './store' } },
      jobs: { job: { datasources: ['db'], destinations: ['store'] } },
    });
  };
  const write = (name: string, text: string) =>
    writeFileSync(join(bench.folder, name), text, { mode: 0o600 });
  const run = (...args: string[]) => runDguard([...args, '--no-progress'], { cwd: bench.folder });
  const own = async () => (await bench.names()).filter((name) => name.includes('__dg_'));
  const dropOwn = async () => {
    for (const name of await own()) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
  };
  /** Recovers until the server has let go of what a dead client held. */
  const recovered = (told: string) =>
    expect
      .poll(
        async () => {
          const { code, stderr } = await run('restore', 'job', '--recover');
          const left = (await own()).filter((name) => !name.includes('__dg_undo_'));
          return code === 0 ? left.join() : stderr;
        },
        { timeout: 120_000, message: told },
      )
      .toBe('');

  beforeAll(async () => {
    bench = await makeBench(server(), 'dgk_');
    write('password', server().password);
    write('backup.yaml', config(server().port));
    await bench.database('dgk_app', NEW);
    expect(await run('backup', 'job')).toMatchObject({ code: 0 });
    after = await picture(bench, 'dgk_app');
  });
  afterAll(async () => {
    await dropOwn();
    await bench?.remove();
  });

  /** Runs a command through a proxy, counting from the statement that has `since`; killed where it is cut. */
  async function through(args: string[], since: string, cut?: Omit<Cut, 'act'>) {
    let kill = () => {};
    const act = (sever: () => void) => {
      kill();
      sever();
    };
    const proxy = await openMysqlProxy(server().port, since, cut && { ...cut, act });
    write('proxied.yaml', config(proxy.port));
    try {
      const { child, ended } = startDguard([...args, '--no-progress', '-c', 'proxied.yaml'], {
        cwd: bench.folder,
      });
      kill = () => child.kill('SIGKILL');
      return { ...(await ended), statements: proxy.statements };
    } finally {
      await proxy.close();
    }
  }

  /** Some of the statements, evenly, and those around the one that makes the new tables those of the target. */
  function pointsOf(statements: readonly string[]): { points: Omit<Cut, 'act'>[]; commit: number } {
    const commit = statements.findIndex((text) => text.includes('RENAME TABLE')) + 1;
    expect(commit).toBeGreaterThan(5);
    const step = statements.length / (POINTS - 1);
    const others = Array.from({ length: POINTS - 1 }, (_, i) => Math.floor(step * i) + 1);
    const points = others
      .filter((at) => at !== commit)
      .map((at, i) => ({ at, when: i % 2 === 0 ? ('before' as const) : ('after' as const) }));
    return { points: [...points, { at: commit, when: 'before' }, { at: commit, when: 'after' }], commit };
  }

  it('a restore, at any of ten points, is finished or reverted by the next command', async () => {
    const begin = async () => {
      await dropOwn();
      await bench.database('dgk_app', OLD);
      return picture(bench, 'dgk_app');
    };
    const restore = ['restore', 'job', '--overwrite', '--yes'];
    await begin();
    const whole = await through(restore, 'CREATE DATABASE');
    expect(whole, whole.stderr).toMatchObject({ code: 0 });
    expect(await picture(bench, 'dgk_app')).toEqual(after);
    const { points, commit } = pointsOf(whole.statements);
    expect(points.length).toBeGreaterThanOrEqual(POINTS);
    const seen = new Set<string>();
    for (const cut of points) {
      const before = await begin();
      const told = `${cut.when} ${cut.at} of ${whole.statements.length}: ${whole.statements[cut.at - 1]!.slice(0, 80)}`;
      const killed = await through(restore, 'CREATE DATABASE', cut);
      expect(killed.code, `${told}\n${killed.stderr}`).toBe(137);
      // Old or new, it answers.
      const [row] = await bench.sql('dgk_app', 'SELECT MIN(f) AS f FROM a');
      await recovered(told);
      const isNew = row!['f'] === 'new';
      expect(row!['f'], told).toBe(isNew ? 'new' : 'old');
      expect(await picture(bench, 'dgk_app'), told).toEqual(isNew ? after : before);
      if (cut.at < commit) expect(isNew, told).toBe(false);
      expect(await own(), told).toHaveLength(isNew ? 1 : 0);
      seen.add(row!['f'] as string);
      if (!isNew) continue;
      expect(await run('restore', 'job', '--undo', '--yes')).toMatchObject({ code: 0 });
      expect(await picture(bench, 'dgk_app'), told).toEqual(before);
    }
    expect(seen).toEqual(new Set(['old', 'new']));
  });

  it('an undo, at some of its points, is finished or reverted by the next command', async () => {
    await dropOwn();
    await bench.database('dgk_app', OLD);
    const before = await picture(bench, 'dgk_app');
    expect(await run('restore', 'job', '--overwrite', '--yes')).toMatchObject({ code: 0 });
    const undo = ['restore', 'job', '--undo', '--yes'];
    const whole = await through(undo, '__dg_undo_');
    expect(whole, whole.stderr).toMatchObject({ code: 0 });
    expect(await picture(bench, 'dgk_app')).toEqual(before);
    const { points, commit } = pointsOf(whole.statements);
    for (const cut of points.filter(({ at }, i) => i % 3 === 0 || at === commit)) {
      const told = `${cut.when} ${cut.at} of ${whole.statements.length}: ${whole.statements[cut.at - 1]!.slice(0, 80)}`;
      const killed = await through(undo, '__dg_undo_', cut);
      expect(killed.code, `${told}\n${killed.stderr}`).toBe(137);
      await recovered(told);
      const now = await picture(bench, 'dgk_app');
      expect([before, after], told).toContainEqual(now);
      expect(await own(), told).toHaveLength(1);
    }
  });

  it('a test restore that is stopped or killed leaves no database, at the latest after the next verify', async () => {
    const verify = ['verify', 'job', '--level', 'restore', '--newest', '1'];
    const whole = await through(verify, '__dg_scratch_');
    expect(whole, whole.stderr).toMatchObject({ code: 0 });
    const before = await picture(bench, 'dgk_app');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
      const scratch = async () => (await own()).filter((name) => name.includes('__dg_scratch_'));
      expect(await scratch()).toEqual([]);
      let stop = () => {};
      const at = Math.floor(whole.statements.length / 2);
      const act = () => stop();
      const proxy = await openMysqlProxy(server().port, '__dg_scratch_', { at, when: 'after', act });
      write('proxied.yaml', config(proxy.port));
      const { child, ended } = startDguard([...verify, '--no-progress', '-c', 'proxied.yaml'], {
        cwd: bench.folder,
      });
      stop = () => child.kill(signal);
      const { code, stderr } = await ended;
      await proxy.close();
      expect(code, stderr).toBe({ SIGINT: 130, SIGTERM: 143, SIGKILL: 137 }[signal]);
      if (signal !== 'SIGKILL') expect(await scratch(), signal).toEqual([]);
      else expect(await scratch(), signal).toHaveLength(1);
      await expect
        .poll(
          async () => {
            const again = await run(...verify);
            return again.code === 0 ? (await scratch()).join() : again.stderr;
          },
          { timeout: 120_000 },
        )
        .toBe('');
    }
    expect(await picture(bench, 'dgk_app')).toEqual(before);
  });
});
