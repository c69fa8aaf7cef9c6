import { readFileSync } from 'node:fs';

/** Names of users and groups of this host, as byte strings, read once. */
export interface Owners {
  userName(uid: number): string | undefined;
  groupName(gid: number): string | undefined;
  userId(name: string): number | undefined;
  groupId(name: string): number | undefined;
}

/** Reads the host's own files; accounts of a directory service keep their numbers only. */
export function readOwners(passwdPath = '/etc/passwd', groupPath = '/etc/group'): Owners {
  const users = readTable(passwdPath);
  const groups = readTable(groupPath);
  return {
    userName: (uid) => users.names.get(uid),
    groupName: (gid) => groups.names.get(gid),
    userId: (name) => users.ids.get(name),
    groupId: (name) => groups.ids.get(name),
  };
}

interface Table {
  readonly names: Map<number, string>;
  readonly ids: Map<string, number>;
}

/** passwd(5) and group(5) begin alike: name, password, number. The first line of a number or name counts. */
function readTable(path: string): Table {
  const table: Table = { names: new Map(), ids: new Map() };
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch {
    // No such file (a minimal container): numbers alone are recorded.
    return table;
  }
  for (const line of text.split('\n')) {
    const [name, , number] = line.split(':');
    if (name === undefined || name === '' || number === undefined || !/^\d{1,10}$/.test(number)) continue;
    const id = Number(number);
    if (!table.names.has(id)) table.names.set(id, name);
    if (!table.ids.has(name)) table.ids.set(name, id);
  }
  return table;
}
