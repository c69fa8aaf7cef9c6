import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { runDguard, startDguard } from '../../cli/support.ts';
import type { Cut } from '../support-proxy.ts';
import { describeWithMongodb, ownNames, picture } from './support.ts';
import { openMongodbProxy, SWAP } from './support-proxy.ts';
import { type Row, useReplaced } from './support-restore.ts';

const POINTS = 10;

describeWithMongodb('mongodb: a restore that is killed', (server) => {
  const replaced = useReplaced(server);
  const { old } = replaced;

  const config = (port: number) => {
    const { host, user: username } = server();
    const password_file = join(replaced.bench.folder, 'password');
    const base = { type: 'mongodb', host, port, username, password_file };
    return JSON.stringify({
      version: 1,
      defaults: { temp_dir: join(replaced.bench.folder, 'temp') },
      datasources: { from: { ...base, database: 'dgx_new' }, to: { ...base, database: 'dgx_target' } },
      destinations: { store: { type: 'local', path: './store' } },
      jobs: { job: { datasources: ['from'], destinations: ['store'] } },
    });
  };
  const write = (name: string, text: string) =>
    writeFileSync(join(replaced.bench.folder, name), text, { mode: 0o600 });
  const run = (...args: string[]) => runDguard([...args, '--no-progress'], { cwd: replaced.bench.folder });
  const TO = ['job', '--to', 'to'];

  beforeAll(async () => {
    write('password', server().password);
    write('backup.yaml', config(server().port));
    const backup = await run('backup', 'job');
    expect(backup, backup.stderr).toMatchObject({ code: 0 });
  });

  /** Runs a command through a proxy that counts the commands which write; killed where it is cut. */
  async function through(args: string[], cut?: Omit<Cut, 'act'>) {
    let kill = () => {};
    const act = (sever: () => void) => {
      kill();
      sever();
    };
    const proxy = await openMongodbProxy(server().port, cut && { ...cut, act });
    write('proxied.yaml', config(proxy.port));
    try {
      const { child, ended } = startDguard([...args, '--no-progress', '-c', 'proxied.yaml'], {
        cwd: replaced.bench.folder,
      });
      kill = () => child.kill('SIGKILL');
      return { ...(await ended), commands: proxy.statements };
    } finally {
      await proxy.close();
    }
  }

  function pointsOf(commands: readonly string[]): Omit<Cut, 'act'>[] {
    const swap = commands.indexOf(SWAP) + 1;
    expect(swap).toBeGreaterThan(1);
    const step = commands.length / (POINTS - 1);
    const others = Array.from({ length: POINTS - 1 }, (_, i) => Math.floor(step * i) + 1);
    const points = others
      .filter((at) => at !== swap)
      .map((at, i) => ({ at, when: i % 2 === 0 ? ('before' as const) : ('after' as const) }));
    return [...points, { at: swap, when: 'before' }, { at: swap, when: 'after' }];
  }

  it('at any of ten points, is finished or reverted by the next command; so is its undo', async () => {
    const { target, after } = replaced;
    const before = await picture(target);
    const whole = await through(['restore', ...TO, '--overwrite', '--yes']);
    expect(whole, whole.stderr).toMatchObject({ code: 0 });
    expect(await picture(target)).toEqual(after);
    const back = await through(['restore', '--undo', ...TO, '--yes']);
    expect(back, back.stderr).toMatchObject({ code: 0 });
    for (const [args, commands] of [
      [['restore', ...TO, '--overwrite', '--yes'], whole.commands],
      [['restore', '--undo', ...TO, '--yes'], back.commands],
    ] as const) {
      const isUndo = args.includes('--undo');
      const points = pointsOf(commands);
      expect(points.length).toBeGreaterThanOrEqual(POINTS);
      const seen = new Set<boolean>();
      for (const cut of points) {
        await old();
        if (isUndo) {
          const restored = await run('restore', ...TO, '--overwrite', '--yes');
          expect(restored, restored.stderr).toMatchObject({ code: 0 });
        }
        const told = `${args.join(' ')}: ${cut.when} ${cut.at} of ${commands.length}: ${commands[cut.at - 1]}`;
        const killed = await through([...args], cut);
        // What comes after the last of its commands finds it ended.
        if (cut.at < commands.length) expect(killed.code, `${told}\n${killed.stderr}`).toBe(137);
        const arrived = killed.commands.slice(0, cut.when === 'after' ? cut.at : cut.at - 1);
        const done = arrived.includes(SWAP);
        // Until it is decided, the target answers with what it was.
        if (!done) {
          const f = isUndo ? 'new' : 'old';
          expect(await target.collection<Row>('a').findOne({ _id: 1 }), told).toEqual({ _id: 1, f });
        }
        const recovered = await run('restore', '--recover', ...TO);
        expect(recovered, `${told}\n${recovered.stderr}`).toMatchObject({ code: 0 });
        const [was, becomes] = isUndo ? [after, before] : [before, after];
        expect(await picture(target), told).toEqual(done ? becomes : was);
        const left = await ownNames(target);
        expect(left.join(), told).not.toContain('__dg_new_');
        if (!done && !isUndo) expect(left, told).toEqual([]);
        seen.add(done);
      }
      expect(seen).toEqual(new Set([true, false]));
    }
  });
});
