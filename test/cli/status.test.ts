import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Workspace, workspace } from './support.ts';

interface Row {
  readonly destination: string;
  readonly state: string;
  readonly missing: readonly string[];
}

let space: Workspace;
beforeEach(() => {
  space = workspace();
  mkdirSync(space.path('docs'));
  writeFileSync(space.path('docs/a.txt'), 'text');
});
afterEach(() => space.remove());

function configure(destinations: readonly unknown[], job: object = {}): void {
  space.config({
    datasources: { docs: { type: 'files', source_path: 'docs' } },
    destinations: { near: { type: 'local', path: 'near' }, far: { type: 'local', path: 'far' } },
    jobs: { j: { datasources: ['docs'], destinations, ...job } },
  });
}

async function backup(): Promise<string> {
  const { document, code, stderr } = await space.json('backup', 'j');
  expect(code, stderr).toBe(0);
  return document.backups[0]!.id;
}

async function status(...args: string[]): Promise<{ code: number; rows: Record<string, Row> }> {
  const { code, stdout } = await space.run('status', '--json', ...args);
  const { rows } = JSON.parse(stdout) as { rows: readonly Row[] };
  return { code, rows: Object.fromEntries(rows.map((row) => [row.destination, row])) };
}

it('what a destination has by its own retention given up is not missing there; what it would keep is', async () => {
  configure([{ name: 'near', retention: { keep_last: 1 } }, 'far']);
  const first = await backup();
  await backup();
  expect((await space.run('prune')).code).toBe(0);
  expect(await space.listed('near')).toHaveLength(1);
  expect((await status()).rows).toMatchObject({ near: { missing: [] }, far: { missing: [] } });
  expect((await space.run('delete', first, '--from', 'far', '--yes')).code).toBe(0);
  const [newest] = await space.listed('near');
  expect((await space.run('delete', newest!.id, '--from', 'near', '--yes')).code).toBe(0);
  expect((await status()).rows).toMatchObject({ near: { missing: [newest!.id] }, far: { missing: [] } });
});

it('a copy that is pinned after this destination has given its own up is not missing here', async () => {
  configure([{ name: 'near', retention: { keep_last: 1 } }, 'far']);
  const first = await backup();
  const newest = await backup();
  expect((await space.run('prune')).code).toBe(0);
  expect((await space.run('pin', first)).code).toBe(0);
  expect((await status()).rows).toMatchObject({ near: { missing: [] }, far: { missing: [] } });
  // One that the policy keeps is missing, pinned or not.
  expect((await space.run('delete', newest, '--from', 'near', '--yes')).code).toBe(0);
  expect((await space.run('pin', newest)).code).toBe(0);
  expect((await status()).rows).toMatchObject({ near: { missing: [newest] }, far: { missing: [] } });
});

describe('strategy: priority', () => {
  it('where the newest backup is not is spare, and no reason to fail', async () => {
    configure(['near', 'far'], { strategy: 'priority' });
    await backup();
    const first = await status('--max-age', '1d');
    expect(first).toMatchObject({ code: 0, rows: { near: { state: 'ok' }, far: { state: 'spare' } } });
    const prometheus = await space.run('status', '--prometheus');
    expect(prometheus.stdout.match(/dguard_last_good_timestamp_seconds\{.*/g)).toHaveLength(1);
    renameSync(space.path('near'), space.path('away'));
    writeFileSync(space.path('near'), 'in the way');
    expect((await space.run('backup', 'j')).code).toBe(3);
    const { rows } = await status();
    expect(rows).toMatchObject({ near: { state: 'unreachable' }, far: { state: 'ok' } });
  });

  it('but where none is new enough, each is told', async () => {
    configure(['near', 'far'], { strategy: 'priority' });
    const none = await status('--max-age', '1d');
    expect(none).toMatchObject({ code: 9, rows: { near: { state: 'none' }, far: { state: 'none' } } });
  });
});
