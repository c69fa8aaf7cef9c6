import { describe, expect, it } from 'vitest';
import {
  besideName,
  isMarkedName,
  type Mark,
  markStatement,
  parseMark,
} from '../../../src/engines/sqlserver/restore/marks.ts';
import { type SwapState, settleSwap } from '../../../src/engines/sqlserver/restore/swap.ts';

describe('marks', () => {
  const mark: Mark = { role: 'undo', target: "o'b]x", backupId: 'full-1', createdAt: '2026-01-01T00:00:00Z' };
  it('are written as a quoted extended property, and read back', () => {
    const sql = markStatement('a]b', mark);
    expect(sql).toContain('[a]]b].sys.sp_addextendedproperty');
    const value = /@value = N'((?:[^']|'')*)'/.exec(sql)![1]!.replaceAll("''", "'");
    expect(parseMark(value)).toEqual(mark);
  });
  it.each(['', 'x', '{}', '{"role":"boss","target":"a"}', '{"role":"new"}', 'null'])('%j is none', (text) =>
    expect(parseMark(text)).toBeUndefined(),
  );
  it('names stay within what the server takes, and apart', () => {
    const long = 'd'.repeat(128);
    const names = [
      besideName('app', 'new'),
      besideName(long, 'undo'),
      besideName(`${long.slice(1)}e`, 'undo'),
    ];
    for (const name of names) {
      expect(name.length).toBeLessThanOrEqual(128);
      expect(isMarkedName(name)).toBe(true);
    }
    expect(names[1]!.slice(0, 110)).not.toBe(names[2]!.slice(0, 110));
    expect(isMarkedName('app')).toBe(false);
  });
});

/** Carries out the statements of `settleSwap` on a model of what they touch: names, marks and who may enter. */
describe('a swap cut off after any of its steps', () => {
  type Model = Map<string, { data: 'old' | 'new'; role?: Mark['role']; single: boolean }>;
  const target = 'app';
  const mark = (role: Mark['role']): Mark => ({ role, target, backupId: 'b', createdAt: 't' });
  const steps: ((model: Model) => void)[] = [
    (m) => (m.get('app__dg_new_00000001')!.role = 'ready'),
    (m) => (m.get('app')!.role = 'swap'),
    (m) => (m.get('app')!.single = true),
    (m) => move(m, 'app', 'app__dg_undo_00000002'),
    (m) => move(m, 'app__dg_new_00000001', 'app'),
    (m) => delete m.get('app')!.role,
    (m) => (m.get('app__dg_undo_00000002')!.single = false),
    (m) => (m.get('app__dg_undo_00000002')!.role = 'undo'),
  ];
  function move(model: Model, from: string, to: string): void {
    expect(model.has(to), 'a rename never meets a name that is taken').toBe(false);
    model.set(to, model.get(from)!);
    model.delete(from);
  }
  function carryOut(model: Model, sql: string): void {
    const name = /(?:DATABASE |FROM |\()\[([^\]]+)\]/.exec(sql)![1]!;
    const renamed = /MODIFY NAME = \[([^\]]+)\]/.exec(sql)?.[1];
    if (renamed) move(model, name, renamed);
    else if (sql.includes('SET MULTI_USER')) model.get(name)!.single = false;
    else if (sql.includes('sp_dropextendedproperty')) delete model.get(name)!.role;
    else model.get(name)!.role = /"role":"(\w+)"/.exec(sql)![1] as Mark['role'];
  }
  function settle(model: Model): string[] {
    const there = model.get(target);
    const state: SwapState = {
      target,
      ...(there ? { there: there.role === undefined ? {} : { role: there.role } } : {}),
      beside: [...model]
        .filter(([name, { role }]) => name !== target && role !== undefined)
        .map(([name, { role }]) => ({ name, mark: mark(role!) })),
    };
    const { sql, done } = settleSwap(state);
    for (const statement of sql) carryOut(model, statement);
    return done;
  }

  it.each(steps.map((_, at) => at))('after step %i: the target is old or new, whole and open', (last) => {
    const model: Model = new Map([
      ['app', { data: 'old', single: false }],
      ['app__dg_new_00000001', { data: 'new', role: 'new', single: false }],
    ]);
    for (const step of steps.slice(0, last + 1)) step(model);
    settle(model);
    const found = model.get('app');
    expect(found).toBeDefined();
    expect(found!.role).toBeUndefined();
    expect(found!.single).toBe(false);
    const others = [...model].filter(([name]) => name !== 'app');
    if (found!.data === 'new')
      expect(others).toEqual([
        [expect.stringContaining('undo'), { data: 'old', role: 'undo', single: false }],
      ]);
    // Reverted: the new one is still marked as dguard's, and goes.
    else
      expect(others).toEqual([
        ['app__dg_new_00000001', expect.objectContaining({ data: 'new', role: 'ready' })],
      ]);
    expect(settle(new Map(model)), 'it is safe to repeat').toEqual([]);
  });
});
