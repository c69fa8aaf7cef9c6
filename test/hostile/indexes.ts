import type { FrameRow } from '../../src/archive/index/frames.ts';
import { originOf } from '../../src/plan/naming.ts';
import { noise } from '../archive/support.ts';
import { type Cases, refused } from './cases.ts';
import { type AddFrame, entryLine, type Recipe, ROOT, sliceOf } from './forge.ts';

const BLOCK = noise(5000, 4);

function one(id: string, more: Recipe): Recipe {
  return { blocks: [BLOCK], entries: [ROOT, { path: 'a', size: 5000, at: [sliceOf(id, 0, 5000)] }], ...more };
}
const rows = (
  change: (rows: FrameRow[], addFrame: AddFrame) => Promise<readonly FrameRow[]> | readonly FrameRow[],
  says: RegExp,
) => refused((id) => one(id, { rows: change }), says);
const root = (change: (lines: string[]) => string[], says: RegExp) =>
  refused((id) => one(id, { root: change }), says);
const line = (text: string, says: RegExp) =>
  refused((id) => one(id, { entries: [entryLine(ROOT), text] }), says);
const last = (lines: string[], change: (text: string) => string) => [
  ...lines.slice(0, -1),
  change(lines.at(-1)!),
];

/** Fifty rows that all describe one frame, as a frame of the next level, ten times over. */
async function tower(bottom: FrameRow, addFrame: AddFrame): Promise<FrameRow> {
  const { rowText } = await import('../../src/archive/index/rows.ts');
  let row = bottom;
  for (let level = 1; level <= 10; level++) {
    row = await addFrame(
      bottom.section,
      level,
      Array.from({ length: 50 }, () => rowText(row)),
    );
  }
  return row;
}

/** Rows, levels, frames and lines of the index. */
export const indexes: Cases = {
  'a thousand files that share one block: a full disk out of 5,000 bytes': refused(
    (id) =>
      one(id, {
        entries: [
          ROOT,
          ...Array.from({ length: 1000 }, (_, i) => ({
            path: `a${String(i).padStart(4, '0')}`,
            size: 5000,
            at: [sliceOf(id, 0, 5000)],
          })),
        ],
        manifest: (draft) => ({ ...draft, size_bytes: 6000 }),
      }),
    /larger than the whole backup/,
  ),
  'a row that describes the frame it lies in': rows(async (all, addFrame) => {
    const { rowText } = await import('../../src/archive/index/rows.ts');
    const self = { ...all.at(-1)!, level: 1 };
    const row = await addFrame('entries', 1, [rowText(self)]);
    return [all[0]!, { ...row, level: 1, sha256: self.sha256 }];
  }, /has not the hash|levels/),
  'levels that multiply a frame of no lines without end': rows(async ([blocks], addFrame) => {
    const bottom = await addFrame('entries', 0, []);
    return [blocks!, await tower(bottom, addFrame)];
  }, /not as many lines/),
  'levels that multiply a frame of entries without end': rows(
    async ([blocks, entries], addFrame) => [blocks!, await tower(entries!, addFrame)],
    /names a path twice/,
  ),
  'levels that multiply a frame of block lines without end': {
    outcome: 'verify-refuses',
    says: /do not follow one another/,
    recipe: (id) =>
      one(id, {
        rows: async ([blocks, entries], addFrame) => [await tower(blocks!, addFrame), entries!],
      }),
  },
  'a table of artifacts that multiplies without end': refused(
    (id) =>
      one(id, {
        table: (lines) => lines,
        rows: async ([table, ...others], addFrame) => [await tower(table!, addFrame), ...others],
      }),
    /not the one that the manifest names/,
  ),
  'levels that do not go down': rows(async ([blocks, entries], addFrame) => {
    const { rowText } = await import('../../src/archive/index/rows.ts');
    return [blocks!, await addFrame('entries', 7, [rowText(entries!)])];
  }, /levels of the index do not fit/),
  'a row of 2^53 levels': rows(
    ([b, e]) => [b!, { ...e!, level: Number.MAX_SAFE_INTEGER }],
    /not JSON|not well-formed|wrong|levels/,
  ),
  'a frame of entries as block lines': rows(
    ([, entries]) => [{ ...entries!, section: 'blocks', artifact: 0, block: 0 }, entries!],
    /block line|do not follow/,
  ),
  'a section that is none': root(
    (lines) => last(lines, (t) => t.replace('"entries"', '"secrets"')),
    /not well-formed/,
  ),
  'a row behind the end of the index': rows(
    ([b, e]) => [b!, { ...e!, offset: 10 ** 9 }],
    /outside of the index/,
  ),
  'a row of a negative place': rows(([b, e]) => [b!, { ...e!, offset: -1 }], /wrong offset/),
  'a row of another length': rows(
    ([b, e]) => [b!, { ...e!, length: e!.length + 1 }],
    /has not the hash|cannot be decompressed/,
  ),
  'a row of 2 MiB': rows(([b, e]) => [b!, { ...e!, length: 2 ** 21 }], /not well-formed/),
  'a row of another hash': rows(([b, e]) => [b!, { ...e!, sha256: '0'.repeat(64) }], /has not the hash/),
  'a row with more lines than its frame': rows(([b, e]) => [b!, { ...e!, lines: 99 }], /not as many lines/),
  'a row of an unknown origin': rows(([b, e]) => [b!, { ...e!, origin: 'zzzzzzzz' }], /does not name/),
  'a row of block lines in another backup': rows(
    ([b, e]) => [{ ...b!, origin: 'zzzzzzzz' }, e!],
    /lies in another backup/,
  ),
  'a row that is no JSON': root((lines) => last(lines, () => '{"section"'), /not JSON/),
  'a row that is null': root((lines) => last(lines, () => 'null'), /not a JSON object/),
  'a header of another backup': root(
    ([, ...rest]) => [
      '{"index":1,"id":"full-2026-01-02T03-04-05Z-zzzzzzzz","entries":2,"blocks":1,"sources":[]}',
      ...rest,
    ],
    /of another backup/,
  ),
  'a header whose sources are null': root(
    ([header, ...rest]) => [header!.replace(/"sources":\[.*\]/, '"sources":[null]'), ...rest],
    /source that is none/,
  ),
  'a header without counts': root(
    ([header, ...rest]) => [header!.replace(/"entries":\d+,/, ''), ...rest],
    /wrong entries/,
  ),
  'fewer entries than the header says': refused((id) => one(id, { entriesCount: 3 }), /not as many entries/),
  'more entries than the header says': refused((id) => one(id, { entriesCount: 1 }), /not as many entries/),
  'a line of 70 KiB': line(entryLine({ path: 'a', user: 'u'.repeat(70 * 1024) }), /overlong/),
  'a line that is null': line('null', /not an object/),
  'a line that is an array': line('[]', /wrong path/),
  'a line that is no JSON': line('{"path":', /not JSON/),
  'a line nested 30,000 times': line(
    `{"path":"a","kind":${'['.repeat(30_000)}${']'.repeat(30_000)}}`,
    /wrong kind|not JSON/,
  ),
  'a line that continues nothing': line(
    '{"path":"b","from":0,"at":[["abcdefgh",0,0,0,1]]}',
    /continues nothing/,
  ),
  'a line that continues without content': refused(
    (id) =>
      one(id, {
        entries: [ROOT, { path: 'a', size: 5000, at: [sliceOf(id, 0, 5000)] }, '{"path":"a","from":5000}'],
      }),
    /wrong at/,
  ),
  'a line that continues elsewhere': refused(
    (id) =>
      one(id, {
        entries: [
          { path: 'a', size: 5000, at: [sliceOf(id, 0, 4000)] },
          `{"path":"a","from":3000,"at":[["${originOf(id)}",0,0,4000,1000]]}`,
        ],
      }),
    /continues elsewhere/,
  ),
  'a table among files': line('{"path":"t","kind":"table","member":"m","table":"t"}', /not part of a tree/),
};

const table = (change: (lines: string[]) => string[], says: RegExp) =>
  refused((id) => one(id, { table: change }), says);

/** The table of artifacts, in the manifest or in the index. */
export const artifacts: Cases = {
  'a table in the index that is no JSON': table(() => ['{"artifact":0,'], /table of artifacts/),
  'a table in the index that is null': table(() => ['null'], /table of artifacts/),
  'a table in the index without fields': table(
    () => ['{"artifact":0}'],
    /table of artifacts has a wrong name/,
  ),
  'a table in the index of a name out of the folder': table(
    ([text]) => [text!.replace('files.tar.zst', '../../manifest.json')],
    /table of artifacts has a wrong name/,
  ),
  'a table in the index of 10,001 parts': refused((id) => {
    const part = (n: number) =>
      JSON.stringify({ artifact: 0, part: { number: n + 1, size: 0, sha256: '0'.repeat(64) } });
    const parts = Array.from({ length: 10_001 }, (_, n) => part(n));
    let head = '';
    return one(id, {
      artifacts: ([only]) => [{ ...only!, parts: [] }],
      table: ([text]) => {
        head = text!.replace('"parts":0', '"parts":10001');
        return [head, ...parts];
      },
      rows: async ([, ...others], addFrame) => [
        await addFrame('artifacts', 0, [head, ...parts.slice(0, 5000)]),
        await addFrame('artifacts', 0, parts.slice(5000)),
        ...others,
      ],
      manifest: (draft) => ({
        ...draft,
        artifacts: { ...(draft.artifacts as object), count: 1, objects: 10_001 },
      }),
    });
  }, /wrong parts|data objects/),
  'a table in the index that claims 2^52 parts': table(
    ([text]) => [`${text!.slice(0, -1)},"parts":4503599627370496}`],
    /ends early/,
  ),
  'a table in the index whose parts are of another artifact': table(
    ([text]) => [
      `${text!.slice(0, -1)},"parts":1}`,
      JSON.stringify({ artifact: 5, part: { number: 1, size: 0, sha256: '0'.repeat(64) } }),
    ],
    /not the one that follows/,
  ),
  'an artifact with the name of the manifest': refused(
    (id) => one(id, { artifacts: ([only]) => [{ ...only!, name: 'manifest.json' }] }),
    /which none may have|manifest\.json/,
  ),
  'an artifact with the name of a mark': refused(
    (id) => one(id, { artifacts: ([only]) => [{ ...only!, name: 'pinned-x.json' }] }),
    /which none may have|pinned-x\.json/,
  ),
  'two artifacts of one name': refused(
    (id) => one(id, { artifacts: ([only]) => [only!, only!] }),
    /two objects are called/,
  ),
  'parts that do not add up': refused(
    (id) =>
      one(id, {
        artifacts: ([only]) => [{ ...only!, parts: [{ number: 1, size: 7, sha256: '0'.repeat(64) }] }],
        objects: (objects) => objects.set('files.tar.zst.001', Buffer.alloc(7)),
      }),
    /do not add up/,
  ),
  'parts that are not numbered from 1': refused(
    (id) =>
      one(id, {
        artifacts: ([only]) => [
          { ...only!, parts: [{ number: 2, size: only!.stored_size, sha256: only!.sha256 }] },
        ],
        objects: (objects) => objects.set('files.tar.zst.002', objects.get('files.tar.zst')!),
      }),
    /not numbered from 1/,
  ),
};
