/** A name that nothing else has, no longer than `maxBytes` of UTF-8; a number is added where it must. */
export function uniqueName(wanted: string, taken: Set<string>, maxBytes: number): string {
  const key = (name: string) => name.toLowerCase();
  const cut = (text: string, bytes: number) => {
    let result = text;
    while (Buffer.byteLength(result) > bytes) result = [...result].slice(0, -1).join('');
    return result;
  };
  let name = cut(wanted, maxBytes);
  for (let number = 2; taken.has(key(name)); number++) name = `${cut(wanted, maxBytes - 8)}_${number}`;
  taken.add(key(name));
  return name;
}
