import { suggest } from './suggest.ts';

const SHORTHANDS = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

const FIELDS = [
  { name: 'minute', min: 0, max: 59, words: [] as string[] },
  { name: 'hour', min: 0, max: 23, words: [] as string[] },
  { name: 'day of month', min: 1, max: 31, words: [] as string[] },
  { name: 'month', min: 1, max: 12, words: MONTHS },
  { name: 'day of week', min: 0, max: 7, words: WEEKDAYS },
];

/**
 * What is wrong with a cron expression, or undefined. The grammar is that of crontab(5): five fields of
 * `*`, numbers, ranges, lists and steps, names of months and weekdays, or `@daily` and its like.
 */
export function cronProblem(expression: string): string | undefined {
  const text = expression.trim();
  if (text.startsWith('@')) {
    if (SHORTHANDS.includes(text)) return undefined;
    const near = suggest(text, SHORTHANDS);
    return `is no known shorthand${near === undefined ? '' : `; did you mean ${near}?`}`;
  }
  const parts = text.split(/\s+/);
  if (parts.length !== 5) {
    return `must have five fields (minute hour day month weekday), has ${text === '' ? 0 : parts.length}`;
  }
  for (const [i, field] of FIELDS.entries()) {
    for (const item of parts[i]!.split(',')) {
      const problem = itemProblem(item, field);
      if (problem !== undefined) return `${field.name} "${item}": ${problem}`;
    }
  }
  return everComes(parts) ? undefined : `never comes: no month "${parts[3]}" has a day "${parts[2]}"`;
}

/** The most days of each month. */
const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Of a sound expression. A named day of the week comes in every month: cron takes either of the two days then. */
function everComes(parts: readonly string[]): boolean {
  const [, , days, months, weekdays] = parts;
  if (!weekdays!.startsWith('*')) return true;
  const firstDay = Math.min(...valuesOf(days!, FIELDS[2]!));
  return valuesOf(months!, FIELDS[3]!).some((month) => DAYS[month - 1]! >= firstDay);
}

function valuesOf(text: string, field: (typeof FIELDS)[number]): number[] {
  return text.split(',').flatMap((item) => {
    const [range, step] = item.split('/');
    const [from, to] =
      range === '*' ? [field.min, field.max] : range!.split('-').map((end) => numberOf(end, field)!);
    const values: number[] = [];
    for (let value = from!; value <= (to ?? from!); value += Number(step ?? 1)) values.push(value);
    return values;
  });
}

function itemProblem(item: string, field: (typeof FIELDS)[number]): string | undefined {
  const match = /^(\*|[a-z0-9]+(?:-[a-z0-9]+)?)(?:\/(\d+))?$/i.exec(item);
  if (match === null) return 'is neither *, a number, a range nor a step';
  const range = match[1]!;
  const step = match[2];
  if (step !== undefined && (Number(step) < 1 || Number(step) > field.max)) return 'has a step out of range';
  if (range === '*') return undefined;
  if (step !== undefined && !range.includes('-')) return 'a step needs * or a range before it';
  const ends = range.split('-').map((end) => numberOf(end, field));
  for (const end of ends) {
    if (end === undefined) return `must lie between ${field.min} and ${field.max}`;
  }
  return ends.length === 2 && ends[0]! > ends[1]! ? 'ends before it begins' : undefined;
}

function numberOf(text: string, field: (typeof FIELDS)[number]): number | undefined {
  const word = field.words.indexOf(text.toLowerCase());
  if (word >= 0) return word + field.min;
  const number = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  return number >= field.min && number <= field.max ? number : undefined;
}
