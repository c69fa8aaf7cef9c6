import type { TableFact } from '../../engines/types.ts';

/** Tables of a member as entries beneath it, in the order of entries. */
export function tableEntries(member: string, tables: readonly TableFact[]) {
  return tables
    .map((fact) => {
      const encoded = fact.name.replace(/[/%\x00-\x1f\x7f]/g, (c) => encodeURIComponent(c));
      return { path: `${member}/${Buffer.from(encoded, 'utf8').toString('latin1')}`, fact };
    })
    .sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
    .map(({ path, fact }) => ({
      path,
      fact: { ...fact, name: Buffer.from(fact.name, 'utf8').toString('latin1') },
    }));
}
