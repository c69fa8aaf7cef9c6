import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Session } from '../../../src/engines/mysql/server/session.ts';
import { driverServer } from './support-driver.ts';

/** What a session keeps is all that is asked here. */
const RESULT_BYTES = 500_000;
const COLUMN = {
  catalog: 'def',
  schema: '',
  name: 'v',
  orgName: 'v',
  table: '',
  orgTable: '',
  characterSet: 45,
  columnLength: RESULT_BYTES,
  columnType: 253,
  flags: 0,
  decimals: 0,
};

let server: Awaited<ReturnType<typeof driverServer>>;
let session: Session;
const stop = new AbortController();
beforeAll(async () => {
  server = await driverServer((side) => side.writeTextResult([{ v: 'x'.repeat(RESULT_BYTES) }], [COLUMN]));
  session = await server.open(stop.signal);
});
afterAll(() => server.close());

test('a session keeps nothing of what it was answered', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const held = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const ask = async () => {
    const [row] = await session.rows<{ v: string }>('SELECT v');
    expect(row!.v).toHaveLength(RESULT_BYTES);
  };
  await ask();
  const before = held();
  for (let i = 0; i < 40; i++) await ask();
  expect(held() - before).toBeLessThan(10 * RESULT_BYTES);
});

test('an abort ends what is asked, and what is asked afterwards', async () => {
  const asked = session.rows('SELECT v');
  stop.abort();
  await expect(asked).rejects.toThrow(/interrupted/);
  await expect(session.run('DO 0')).rejects.toThrow(/interrupted/);
});
