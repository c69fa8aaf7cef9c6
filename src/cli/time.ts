import { DguardError } from '../errors.ts';
import { parseDuration } from '../plan/duration.ts';

const FORM = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?)?(Z|[+-]\d{2}:?\d{2})?$/i;
const DAY_MS = 86_400_000;

/**
 * A moment as a person writes it: `2026-01-31`, `2026-01-31T23:00Z`, `2026-01-31 23:00:05+02:00` or
 * `7d` (ago). In UTC where it does not say otherwise, as `list` prints it. What is less exact than a
 * millisecond means its beginning, or as an `upper` bound its end: `--until 2026-01-31` takes in that
 * day. Errors: usage, naming the option.
 */
export function parseMoment(text: string, bound: 'lower' | 'upper', option: string, now: Date): Date {
  const agoMs = parseDuration(text);
  if (agoMs !== undefined) return new Date(now.getTime() - agoMs);
  const [, day, minute, second, fraction, zone = 'Z'] = FORM.exec(text.trim()) ?? [];
  const millis = (fraction ?? '0').slice(0, 3).padEnd(3, '0');
  const offset = zone.replace(/^([+-]\d{2})(\d{2})$/, '$1:$2').toUpperCase();
  const atMs = Date.parse(`${day}T${minute ?? '00:00'}:${second ?? '00'}.${millis}${offset}`);
  if (day === undefined || !isDay(day) || Number.isNaN(atMs)) {
    throw new DguardError('usage', `${text} is no time`, {
      operation: 'read the command line',
      subject: option,
      hint: 'write 2026-01-31, 2026-01-31T23:00:00Z, or 7d for seven days ago',
    });
  }
  const lengthMs =
    minute === undefined ? DAY_MS : second === undefined ? 60_000 : fraction === undefined ? 1000 : 1;
  return new Date(bound === 'lower' ? atMs : atMs + lengthMs - 1);
}

/** Date.parse alone takes 30 February for 2 March. */
function isDay(day: string): boolean {
  const atMs = Date.parse(`${day}T00:00:00Z`);
  return !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(day);
}
