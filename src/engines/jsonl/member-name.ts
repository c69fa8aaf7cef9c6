/**
 * A table's member: its name in `[a-z0-9._%-]`, other bytes as %xx, the first character a letter or digit, cut to
 * `maxChars`, with an ordinal where two come out the same. The true name is in `schema.json`.
 */
export function memberName(table: string, taken: Set<string>, maxChars = 80): string {
  const encoded = [...Buffer.from(table)]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      return /[a-z0-9._-]/.test(char) ? char : `%${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
  const base = (/^[a-z0-9]/.test(encoded) ? encoded : `table${encoded}`)
    .slice(0, maxChars)
    // No half of an escape at the end.
    .replace(/%[0-9a-f]?$/, '');
  let name = base;
  for (let ordinal = 2; taken.has(name); ordinal++) name = `${base}-${ordinal}`;
  taken.add(name);
  return `${name}.jsonl`;
}
