/** The candidate that a person most likely meant by `word`, or undefined if none is near. */
export function suggest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = fold(word);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, fold(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** camelCase, kebab-case and snake_case are the same slip. */
function fold(word: string): string {
  return word.toLowerCase().replaceAll(/[-_\s.]/g, '');
}

/** Levenshtein: insertions, deletions, replacements of one character, and two neighbours that changed places. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const twisted = swapped ? beforeLast[j - 2]! + 1 : Number.POSITIVE_INFINITY;
      current.push(Math.min(replaced, previous[j]! + 1, current[j - 1]! + 1, twisted));
    }
    beforeLast = previous;
    previous = current;
  }
  return previous[b.length]!;
}
