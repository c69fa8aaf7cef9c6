import { describe, expect, it } from 'vitest';
import { textLines } from '../../../src/engines/jsonl/lines.ts';
import {
  exportExpression,
  importExpression,
  jsonNumber,
  rowLine,
  typeText,
} from '../../../src/engines/sqlserver/server/columns.ts';

describe('values', () => {
  it.each([
    ['.5', '0.5'],
    ['-.5000', '-0.5000'],
    ['12345678901234567890.1234567890', '12345678901234567890.1234567890'],
    ['1.7976931348623157e+308', '1.7976931348623157e+308'],
    ['-2.2250738585072014e-308', '-2.2250738585072014e-308'],
    ['0', '0'],
    ['-0.0000000000000000e+000', '-0.0000000000000000e+000'],
    ['007', '7'],
  ])('number %s', (text, json) => {
    expect(jsonNumber(text)).toBe(json);
    expect(Object.is(Number(JSON.parse(json)), Number(text))).toBe(true);
  });
  it('what is no number is refused', () => expect(() => jsonNumber('NaN')).toThrow());
  it('types as definitions say them', () => {
    const raw = (type: string, max_length = 0, precision = 0, scale = 0) =>
      typeText({ type, max_length, precision, scale });
    expect(raw('nvarchar', 80)).toBe('nvarchar(40)');
    expect(raw('nvarchar', -1)).toBe('nvarchar(max)');
    expect(raw('varbinary', 16)).toBe('varbinary(16)');
    expect(raw('decimal', 9, 18, 4)).toBe('decimal(18,4)');
    expect(raw('datetimeoffset', 10, 34, 7)).toBe('datetimeoffset(7)');
    expect(raw('int', 4, 10)).toBe('int');
  });
  it('every type goes out as text, and back by its own conversion', () => {
    const types =
      'tinyint smallint int bigint decimal(18,4) numeric(9,0) money smallmoney float real bit char(3) varchar(max) nchar(2) nvarchar(max) text ntext xml uniqueidentifier hierarchyid date time(7) datetime datetime2(7) smalldatetime datetimeoffset(7) binary(4) varbinary(max) image geometry geography sql_variant';
    for (const type of types.split(' ')) {
      const { sql } = exportExpression({ name: 'a]b', type });
      expect(sql).toContain('[a]]b]');
      expect(importExpression({ type }, 'j.[c0]')).toContain('j.[c0]');
    }
    expect(exportExpression({ name: 'f', type: 'float' }).sql).toBe('CONVERT(varchar(48), [f], 3)');
    expect(exportExpression({ name: 'm', type: 'money' }).sql).toBe('CONVERT(varchar(48), [m], 2)');
    expect(importExpression({ type: 'varbinary(max)' }, 'v')).toBe('CONVERT(varbinary(max), v, 1)');
  });
  it('a row is one line of JSON, whatever is in it', () => {
    const columns = [
      { name: 'a"b', kind: 'string' as const },
      { name: 'n', kind: 'number' as const },
      { name: 'b', kind: 'boolean' as const },
    ];
    const line = rowLine(columns, ['x\n\u2028"\ud800', '1.50', '1']);
    expect(line.indexOf('\n')).toBe(line.length - 1);
    expect(line).toContain('"n":1.50,');
    expect(JSON.parse(line)).toEqual({ 'a"b': 'x\n\u2028"\ud800', n: 1.5, b: true });
    expect(JSON.parse(rowLine(columns, [null, null, null]))).toEqual({ 'a"b': null, n: null, b: null });
  });
  it('lines are put together however they are cut; a last one that does not end is refused', async () => {
    const read = async (...chunks: string[]) => {
      const lines: string[] = [];
      const bytes = async function* () {
        for (const chunk of chunks) yield Buffer.from(chunk, 'latin1');
      };
      for await (const line of textLines(bytes())) lines.push(line);
      return lines;
    };
    expect(await read('{"a":"\xc3', '\xa4"}\n{', '}\n')).toEqual(['{"a":"ä"}', '{}']);
    expect(await read()).toEqual([]);
    await expect(read('{}\n{')).rejects.toMatchObject({ code: 'corrupt' });
  });
});
