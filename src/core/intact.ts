import type { CatalogEntry } from './catalog.ts';

/** A backup that refers to one which is missing or not intact is not intact either, however far up that is. */
export function withReferences(entries: readonly CatalogEntry[]): CatalogEntry[] {
  const intact = intactIds(entries);
  return entries.map((entry) => {
    const lost = (entry.manifest?.references ?? []).filter(({ id }) => !intact.has(id));
    if (lost.length === 0) return entry;
    const problems = [
      ...entry.problems,
      ...lost.map(({ id }) => `the backup ${id}, which it needs, is not intact`),
    ];
    return { ...entry, problems, state: 'broken' as const, intact: false, good: false };
  });
}

/** From those that refer to nothing upwards, so what goes in a circle is never reached. */
function intactIds(entries: readonly CatalogEntry[]): Set<string> {
  const byId = new Map(
    entries.flatMap(({ manifest, intact }) =>
      manifest ? [[manifest.id, { manifest, intact }] as const] : [],
    ),
  );
  const missing = new Map([...byId].map(([id, { manifest }]) => [id, manifest.references.length]));
  const dependents = new Map<string, string[]>();
  for (const [id, { manifest }] of byId) {
    for (const reference of manifest.references) {
      const before = dependents.get(reference.id);
      if (before) before.push(id);
      else dependents.set(reference.id, [id]);
    }
  }
  const found = new Set<string>();
  const open = [...byId.keys()].filter((id) => missing.get(id) === 0);
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    if (!byId.get(id)?.intact) continue;
    found.add(id);
    for (const dependent of dependents.get(id) ?? []) {
      const left = missing.get(dependent)! - 1;
      missing.set(dependent, left);
      if (left === 0) open.push(dependent);
    }
  }
  return found;
}
