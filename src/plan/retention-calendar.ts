/** The calendar periods that retention counts in. */
export type Period = 'hour' | 'day' | 'week' | 'month' | 'year';

/** The name of each period that an instant lies in, where the calendar of one time zone puts it. */
export type PeriodNames = Readonly<Record<Period, string>>;

const formats = new Map<string, Intl.DateTimeFormat>();

/**
 * The periods of an instant by the wall clock of an IANA time zone: `2026-12-31 23h`, `2026-12-31`,
 * `2026-W53` (ISO 8601: weeks begin on Monday and belong to the year of their Thursday), `2026-12`,
 * `2026`. Two instants are in one period if and only if the names are equal; an hour that the clock
 * shows twice is one hour.
 */
export function periodsOf(at: Date, timeZone: string): PeriodNames {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-u-ca-iso8601-nu-latn', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
    });
    formats.set(timeZone, format);
  }
  const parts: Record<string, string> = {};
  for (const { type, value } of format.formatToParts(at)) parts[type] = value;
  const { year = '', month = '', day = '', hour = '' } = parts;
  const date = `${year}-${month}-${day}`;
  return {
    hour: `${date} ${hour}h`,
    day: date,
    week: isoWeek(Number(year), Number(month), Number(day)),
    month: `${year}-${month}`,
    year,
  };
}

const DAY_MS = 86_400_000;

function isoWeek(year: number, month: number, day: number): string {
  const date = new Date(Date.UTC(year, month - 1, day));
  const daysSinceMonday = (date.getUTCDay() + 6) % 7;
  const thursday = new Date(date.getTime() + (3 - daysSinceMonday) * DAY_MS);
  const weekYear = thursday.getUTCFullYear();
  const week = 1 + Math.floor((thursday.getTime() - Date.UTC(weekYear, 0, 1)) / (7 * DAY_MS));
  return `${weekYear}-W${String(week).padStart(2, '0')}`;
}
