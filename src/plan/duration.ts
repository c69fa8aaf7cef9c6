/** Units of a duration, longest first; a year is 365 days, there are no months. */
const UNIT_MS: readonly (readonly [string, number])[] = [
  ['y', 365 * 86_400_000],
  ['w', 7 * 86_400_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
];

/**
 * `7d`, `26h`, `30m`, `90s`, `1d12h` in milliseconds; units y, w, d, h, m, s, each at most once and the
 * longest first. Undefined for anything else, for zero, and for what no clock can count.
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/.exec(text.trim());
  if (match === null) return undefined;
  const total = UNIT_MS.reduce((sum, [, unitMs], i) => sum + Number(match[i + 1] ?? 0) * unitMs, 0);
  return total > 0 && Number.isSafeInteger(total) ? total : undefined;
}

/** A duration as `parseDuration` reads it, cut to whole seconds: 129 600 000 is `1d12h`. */
export function formatDuration(durationMs: number): string {
  let rest = Math.max(0, Math.floor(durationMs / 1000)) * 1000;
  let text = '';
  // Weeks and years are read but not written: `10d` says more than `1w3d`.
  for (const [unit, unitMs] of UNIT_MS.slice(2)) {
    const count = Math.floor(rest / unitMs);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * unitMs;
  }
  return text === '' ? '0s' : text;
}
