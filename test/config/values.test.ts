// biome-ignore-all lint/suspicious/noTemplateCurlyInString: ${…} is what is tested
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cronProblem } from '../../src/config/cron.ts';
import { interpolate } from '../../src/config/interpolate.ts';
import { Secret } from '../../src/config/secret.ts';
import { parseSize } from '../../src/config/size.ts';
import { editDistance, suggest } from '../../src/config/suggest.ts';
import { templateProblem } from '../../src/config/template.ts';

describe('Secret', () => {
  it('opens only by reveal', () => {
    const secret = new Secret('hunter2');
    const shown = [
      String(secret),
      `${secret}`,
      JSON.stringify({ secret }),
      inspect({ a: [secret] }),
      inspect(secret, { showHidden: true, depth: 9 }),
    ];
    expect(shown.join(' ')).not.toContain('hunter2');
    expect(shown.every((text) => text.includes('[redacted]'))).toBe(true);
    expect(JSON.stringify({ ...secret })).toBe('{}');
    expect(secret.reveal()).toBe('hunter2');
  });
});

describe('cronProblem', () => {
  it.each([
    '0 3 * * *',
    '*/15 0-6,22 1,15 jan-mar MON-FRI',
    '0 0 * * 7',
    '5-55/10 * * * *',
    '@daily',
    ' 0 3  * * * ',
    '0 0 29 2 *',
    '0 0 30,29 feb *',
    '0 0 31 2,4-6 *',
    '0 0 28-31 2 *',
    '0 0 30 2 mon',
  ])('takes %s', (text) => expect(cronProblem(text)).toBeUndefined());
  it.each([
    '',
    '0 3 * *',
    '0 3 * * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * 32 * *',
    '* * * 13 *',
    '* * * * 8',
    '5-1 * * * *',
    '*/0 * * * *',
    '*/99 * * * *',
    '5/10 * * * *',
    '1,,2 * * * *',
    'x * * * *',
    '-1 * * * *',
    '* * * * mon-',
    '@dayly',
    '@reboot',
    '0 3 * * * rm -rf',
    '0 0 30 2 *',
    '0 0 30-31 feb */2',
    '0 0 31 4,6,9,11 *',
    '0 0 31 2-11/9,4 *',
  ])('refuses "%s"', (text) => expect(cronProblem(text)).toBeTypeOf('string'));
});

describe('templateProblem', () => {
  it.each(['{job}/{datasource}/{id}', '{id}', 'x/{year}-{month}/{host}_{type}_{id}'])('takes %s', (text) =>
    expect(templateProblem(text)).toBeUndefined(),
  );
  it.each([
    '',
    '{job}',
    '{job}/{ID}',
    '{jobs}/{id}',
    '/{id}',
    '{id}/',
    'a//{id}',
    '../{id}',
    './{id}',
    '{id',
    '{id}}',
    'a b/{id}',
    '{}{id}',
    '{id}\n',
  ])('refuses "%s"', (text) => expect(templateProblem(text)).toBeTypeOf('string'));
});

describe('parseSize', () => {
  it('knows units of both families', () => {
    expect(['10', '1k', '1KB', '20MB/s', '1.5 GiB', '3M'].map(parseSize)).toEqual([
      10, 1024, 1000, 20_000_000, 1_610_612_736, 3_145_728,
    ]);
  });
  it.each(['', '0', '-1', 'MB', '1XB', '1e3', '10MB/m', 'Infinity', '1 constructor'])(
    'refuses "%s"',
    (text) => expect(parseSize(text)).toBeUndefined(),
  );
});

describe('suggest', () => {
  it('finds slips and not strangers', () => {
    expect(suggest('compresion', ['compression', 'format'])).toBe('compression');
    expect(suggest('hots', ['host', 'port'])).toBe('host');
    expect(suggest('fullEvery', ['full_every'])).toBe('full_every');
    expect(suggest('zebra', ['host', 'port'])).toBeUndefined();
    expect(suggest('x', [])).toBeUndefined();
  });
  it('measures like Levenshtein, with swaps', () => {
    expect([editDistance('kitten', 'sitting'), editDistance('', 'abc'), editDistance('ab', 'ba')]).toEqual([
      3, 3, 1,
    ]);
  });
});

describe('interpolate', () => {
  const env = { A: 'one', EMPTY: '', DOLLARS: '$A ${A} $$' };
  it.each([
    ['x${A}y${A}', 'xoneyone'],
    ['$A $ 5$', '$A $ 5$'],
    ['$$', '$'],
    ['$${A}', '${A}'],
    ['$$${A}', '$one'],
    ['${NONE:-d:-e}', 'd:-e'],
    ['${EMPTY:-d}', 'd'],
    ['[${EMPTY}]', '[]'],
    ['${NONE:-}', ''],
    ['${DOLLARS}', '$A ${A} $$'],
  ])('%s becomes %s', (text, expected) => {
    expect(interpolate(text, env)).toMatchObject({ text: expected, problems: [] });
  });
  it.each(['${NONE}', '${A', '${}', '${1A}', '${A:+x}', '${A-x}', '${ A }', '${toString}', '${__proto__}'])(
    'complains about %s',
    (text) => expect(interpolate(text, env).problems).toHaveLength(1),
  );
  it('tells a value from a reference', () => {
    expect(interpolate('${A}', env)).toMatchObject({ literal: false, interpolated: true });
    expect(interpolate('${NONE:-secret}', env)).toMatchObject({ literal: true });
    expect(interpolate('secret', env)).toMatchObject({ literal: true, interpolated: false });
  });
  it('never looks at a value again', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('$', '{', '}', 'A', ':', '-', '\n', '"') }), (value) => {
        expect(interpolate('<${V}>', { V: value, A: 'boom' }).text).toBe(`<${value}>`);
      }),
    );
  });
});
