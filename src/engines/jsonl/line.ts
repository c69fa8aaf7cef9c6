/**
 * The fields of a line that is one JSON object, each value as its text: numbers keep all their digits. Undefined for
 * a line that is none, or that has a name twice. What is in a value is not looked at: who decodes it does.
 */
export function lineFields(line: string): Map<string, string> | undefined {
  const fields = new Map<string, string>();
  let at = skip(line, 0);
  if (line[at] !== '{') return undefined;
  at = skip(line, at + 1);
  if (line[at] === '}') return skip(line, at + 1) === line.length ? fields : undefined;
  for (;;) {
    const nameEnd = line[at] === '"' ? stringEnd(line, at) : -1;
    if (nameEnd < 0) return undefined;
    let name: string;
    try {
      name = JSON.parse(line.slice(at, nameEnd + 1)) as string;
    } catch {
      return undefined;
    }
    at = skip(line, nameEnd + 1);
    if (line[at] !== ':' || fields.has(name)) return undefined;
    const from = skip(line, at + 1);
    const to = valueEnd(line, from);
    if (to <= from) return undefined;
    fields.set(name, line.slice(from, to));
    at = skip(line, to);
    if (line[at] === '}') return skip(line, at + 1) === line.length ? fields : undefined;
    if (line[at] !== ',') return undefined;
    at = skip(line, at + 1);
  }
}

function skip(line: string, at: number): number {
  let next = at;
  while (line.charCodeAt(next) === 0x20 || line.charCodeAt(next) === 0x09) next++;
  return next;
}

/** Where the string that begins at `from` has its last quote; -1: nowhere. Strings may be megabytes. */
function stringEnd(line: string, from: number): number {
  for (let end = line.indexOf('"', from + 1); end >= 0; end = line.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (line[end - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return -1;
}

/** Behind the value that begins at `from`; -1: it does not end. */
function valueEnd(line: string, from: number): number {
  const first = line[from];
  if (first === '"') return stringEnd(line, from) + 1;
  if (first !== '{' && first !== '[') {
    let at = from;
    while (at < line.length && !',}] \t'.includes(line[at]!)) at++;
    return at;
  }
  let depth = 0;
  for (let at = from; at < line.length; at++) {
    const char = line[at]!;
    if (char === '"') {
      at = stringEnd(line, at);
      if (at < 0) return -1;
    } else if (char === '{' || char === '[') depth++;
    else if ((char === '}' || char === ']') && --depth === 0) return at + 1;
  }
  return -1;
}
