import { type PlainType, type PlainValue, Unfit } from './types.ts';

/** The text of a JSON string. Throws `Unfit` for what is none. */
export function jsonString(json: string): string {
  if (!json.startsWith('"')) throw new Unfit(`${shown(json)} is no text`);
  return JSON.parse(json) as string;
}

/** A value as a message shows it. */
export function shown(value: string): string {
  return value.length > 60 ? `${value.slice(0, 60)}…` : value;
}

/** A decimal number without superfluous zeros. */
export interface Digits {
  readonly negative: boolean;
  readonly whole: string;
  readonly fraction: string;
}

const NUMBER = /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?$/;

/** The digits of a number, its exponent carried out. Undefined for what is none (`NaN`). */
export function digitsOf(text: string): Digits | undefined {
  const match = NUMBER.exec(text);
  if (match === null) return undefined;
  const [, sign, before = '', after = '', exponent = '0'] = match;
  const digits = before + after;
  const point = before.length + Number(exponent);
  const padded = point > digits.length ? digits.padEnd(point, '0') : digits;
  const whole = point <= 0 ? '' : padded.slice(0, point);
  const fraction = point <= 0 ? '0'.repeat(-point) + digits : padded.slice(point);
  const [w, f] = [whole.replace(/^0+/, ''), fraction.replace(/0+$/, '')];
  return { negative: sign === '-' && w + f !== '', whole: w, fraction: f };
}

/** The shortest text of a decimal number, no exponent. */
export function decimalText({ negative, whole, fraction }: Digits): string {
  return `${negative ? '-' : ''}${whole === '' ? '0' : whole}${fraction === '' ? '' : `.${fraction}`}`;
}

/** Throws `Unfit` where a number has more digits than `precision` and `scale` leave room for. */
export function requireDigits(text: string, precision: number, scale: number): void {
  const digits = digitsOf(text);
  if (digits === undefined) throw new Unfit(`${shown(text)} is no number there`);
  if (digits.whole.length <= precision - scale && digits.fraction.length <= scale) return;
  throw new Unfit(`${shown(text)} has more digits than decimal(${precision},${scale}) can hold`);
}

export function requireInteger(text: string): string {
  if (/^-?\d{1,20}$/.test(text)) return text;
  throw new Unfit(`${shown(text)} is no integer`);
}

export function requireRange(text: string, min: bigint, max: bigint): void {
  const value = BigInt(text);
  if (value < min || value > max) throw new Unfit(`${text} is not within ${min} to ${max}`);
}

const DATE = /^\d{4}-\d\d-\d\d$/;
const TIME = /^(\d\d:\d\d:\d\d)(?:\.(\d+))?$/;

export function requireDate(text: string): string {
  if (DATE.test(text)) return text;
  throw new Unfit(`${shown(text)} is no date of the years 0000 to 9999`);
}

/** A time of day, its fraction without zeros at the end. */
export function requireTime(text: string): string {
  const match = TIME.exec(text);
  if (match === null) throw new Unfit(`${shown(text)} is no time of a day`);
  const fraction = (match[2] ?? '').replace(/0+$/, '');
  if (fraction.length > 6) throw new Unfit(`${shown(text)} has more digits than a microsecond`);
  return fraction === '' ? match[1]! : `${match[1]}.${fraction}`;
}

/** Throws `Unfit` for a day that no calendar has: MySQL stores 0000-00-00, and years without a number. */
export function requireDay(text: string): void {
  const [year = 0, month = 0, day = 0] = text.slice(0, 10).split('-').map(Number);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (year > 0 && date.getUTCMonth() === month - 1 && date.getUTCDate() === day) return;
  throw new Unfit(`${shown(text)} is no day of the years 1 to 9999`);
}

/** Throws `Unfit` beyond 24 hours: MySQL's times go to 838 hours. */
export function requireClock(text: string): void {
  if (text.slice(0, 8) <= '24:00:00') return;
  throw new Unfit(`${shown(text)} is no time of a day`);
}

const STAMP = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d(?::?\d\d(?::\d\d)?)?)?$/;

/** A moment as `2026-01-31 23:59:59.5`, one with a zone in UTC. Throws `Unfit` where it has none but should, or other way round. */
export function requireTimestamp(text: string, zone: boolean): string {
  const match = STAMP.exec(text);
  if (match === null) throw new Unfit(`${shown(text)} is no moment of the years 0000 to 9999`);
  const [, date, rest, offset] = match;
  if (zone !== (offset !== undefined)) {
    throw new Unfit(`${shown(text)} has ${zone ? 'no' : 'a'} time zone`);
  }
  const time = requireTime(rest!);
  if (offset === undefined || /^(Z|[+-]00(:?00(:00)?)?)$/.test(offset)) return `${date} ${time}`;
  const [hours = 0, minutes = 0, seconds = 0] = offset
    .slice(1)
    .replaceAll(':', '')
    .match(/\d\d/g)!
    .map(Number);
  const shift = (hours * 3600 + minutes * 60 + seconds) * (offset.startsWith('-') ? 1000 : -1000);
  const [whole, fraction] = time.split('.');
  const moved = new Date(Date.parse(`${date}T${whole}Z`) + shift);
  const year = moved.getUTCFullYear();
  if (Number.isNaN(year) || year < 0 || year > 9999) {
    throw new Unfit(`${shown(text)} is no moment of the years 0000 to 9999 in UTC`);
  }
  const utc = moved.toISOString().slice(0, 19).replace('T', ' ');
  return fraction === undefined ? utc : `${utc}.${fraction}`;
}

export function requireUuid(text: string): string {
  const lower = text.toLowerCase();
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(lower)) return lower;
  throw new Unfit(`${shown(text)} is no UUID`);
}

/**
 * The same text for the same value, whatever engine it came out of: a boolean is 1 or 0, a number has no superfluous
 * zeros, a float is rounded to the bits that its column had first.
 */
export function canonicalText(value: Exclude<PlainValue, null>, type: PlainType): string {
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  const text = typeof value === 'boolean' ? (value ? '1' : '0') : value;
  switch (type.kind) {
    case 'integer':
    case 'decimal':
    case 'boolean': {
      const digits = digitsOf(text);
      return digits === undefined ? text : decimalText(digits);
    }
    case 'float': {
      const number = type.bits === 32 ? Math.fround(Number(text)) : Number(text);
      return Object.is(number, -0) ? '-0' : String(number);
    }
    default:
      return text;
  }
}
