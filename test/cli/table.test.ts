import { expect, it } from 'vitest';
import { tableText } from '../../src/cli/render/table.ts';

it('frames rows as wide as a terminal draws them', async () => {
  const rows = [
    ['prod', '1.0 KiB'],
    ['größe', '한국어'],
    ['e\u0301', '🗄️ 🎉'],
    ['\ufffd', ''],
  ];
  expect(await tableText(['job', 'size'], rows)).toBe(
    [
      '┌───────┬─────────┐',
      '│ job   │ size    │',
      '├───────┼─────────┤',
      '│ prod  │ 1.0 KiB │',
      '│ größe │ 한국어  │',
      '│ e\u0301     │ 🗄️ 🎉   │',
      '│ \ufffd     │         │',
      '└───────┴─────────┘',
    ].join('\n'),
  );
  expect(await tableText(['a'], [])).toBe('┌───┐\n│ a │\n└───┘');
});

it('a listing of thousands is one table, as wide as its widest row (and not quadratic: half a minute)', async () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => ['docs', i === 7777 ? 'größer' : String(i)]);
  const lines = (await tableText(['datasource', 'n'], rows)).split('\n');
  expect(lines).toHaveLength(10_004);
  expect(lines.slice(0, 4)).toEqual([
    '┌────────────┬────────┐',
    '│ datasource │ n      │',
    '├────────────┼────────┤',
    '│ docs       │ 0      │',
  ]);
  expect(lines[3 + 7777]).toBe('│ docs       │ größer │');
  expect(lines.slice(-2)).toEqual(['│ docs       │ 9999   │', '└────────────┴────────┘']);
  expect(new Set(lines.map((line) => line.length))).toEqual(new Set([23]));
});
