/** Encodings of databases whose archives have names in them, as a TextDecoder knows them; LATIN1 is Node's. */
const LABELS: Readonly<Record<string, string>> = {
  UTF8: 'utf-8',
  ...{ LATIN2: 'iso-8859-2', LATIN3: 'iso-8859-3', LATIN4: 'iso-8859-4', LATIN5: 'iso-8859-9' },
  ...{ LATIN6: 'iso-8859-10', LATIN7: 'iso-8859-13', LATIN8: 'iso-8859-14', LATIN9: 'iso-8859-15' },
  ...{ LATIN10: 'iso-8859-16', ISO_8859_5: 'iso-8859-5', ISO_8859_6: 'iso-8859-6', ISO_8859_7: 'iso-8859-7' },
  ...{ ISO_8859_8: 'iso-8859-8', KOI8R: 'koi8-r', KOI8U: 'koi8-u', WIN866: 'ibm866', WIN874: 'windows-874' },
  ...Object.fromEntries([1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258].map(labelOfWindows)),
  ...{ EUC_JP: 'euc-jp', EUC_JIS_2004: 'euc-jp', EUC_KR: 'euc-kr', EUC_CN: 'gbk' },
};

function labelOfWindows(page: number): [string, string] {
  return [`WIN${page}`, `windows-${page}`];
}

/** Reads what pg_restore writes of an archive of a database of this encoding: names are in the database's own. */
export function textOf(bytes: Buffer, encoding: string | undefined): string {
  if (encoding === 'LATIN1') return bytes.toString('latin1');
  const label = LABELS[encoding ?? 'UTF8'];
  return label === undefined ? bytes.toString('utf8') : new TextDecoder(label).decode(bytes);
}

/** Whether names in such text are those of the catalog: always where they are ASCII. */
export function isReadable(name: string, encoding: string | undefined): boolean {
  return encoding === 'LATIN1' || LABELS[encoding ?? 'UTF8'] !== undefined || /^[\x00-\x7f]*$/.test(name);
}
