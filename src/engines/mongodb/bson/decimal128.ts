/**
 * IEEE 754-2008 decimal128 in its binary integer encoding, as BSON has it, and the text that Extended JSON writes
 * of it: every pair of coefficient and exponent has a text of its own, so that 1.0 and 1.00 stay what they are.
 * https://github.com/mongodb/specifications/blob/master/source/bson-decimal128/decimal128.md
 */
const BIAS = 6176;
const MAX_DIGITS = 34;
const MIN_EXPONENT = -6176;
const MAX_EXPONENT = 6111;
const MAX_COEFFICIENT = 10n ** 34n - 1n;
const SIGN = 1n << 127n;

/** 16 bytes as text. */
export function decimalText(bytes: Buffer): string {
  const bits = bytes.readBigUInt64LE(0) | (bytes.readBigUInt64LE(8) << 64n);
  const sign = bits & SIGN ? '-' : '';
  const combination = (bits >> 122n) & 0x1fn;
  if (combination === 0x1fn) return 'NaN';
  if (combination === 0x1en) return `${sign}Infinity`;
  const large = (combination & 0x18n) === 0x18n;
  const exponent = Number((bits >> (large ? 111n : 113n)) & 0x3fffn) - BIAS;
  const coefficient = large ? 0n : bits & ((1n << 113n) - 1n);
  const digits = (coefficient > MAX_COEFFICIENT ? 0n : coefficient).toString();
  const scientific = exponent + digits.length - 1;
  if (exponent > 0 || scientific < -6) {
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : '';
    return `${sign}${digits[0]}${rest}E${scientific < 0 ? '' : '+'}${scientific}`;
  }
  if (exponent === 0) return sign + digits;
  const point = digits.length + exponent;
  if (point > 0) return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
  return `${sign}0.${'0'.repeat(-point)}${digits}`;
}

/** The text as 16 bytes; undefined where it is none, or says more than fits. Nothing is rounded. */
export function parseDecimal(text: string): Buffer | undefined {
  const special = /^([+-]?)(nan|inf(?:inity)?)$/i.exec(text);
  if (special) {
    const nan = special[2]!.toLowerCase() === 'nan';
    return pack((nan ? 0x1fn : 0x1en) << 122n, special[1] === '-' && !nan);
  }
  const match = /^([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d{1,6}))?$/.exec(text);
  if (!match) return undefined;
  const fraction = match[3] ?? match[4] ?? '';
  let coefficient = BigInt(`${match[2] ?? ''}${fraction}`);
  let exponent = Number(match[5] ?? 0) - fraction.length;
  // Only zeros may go, or be added, so that it fits.
  while (exponent > MAX_EXPONENT && (coefficient === 0n || coefficient * 10n <= MAX_COEFFICIENT)) {
    coefficient *= 10n;
    exponent--;
  }
  while (coefficient % 10n === 0n && (coefficient > MAX_COEFFICIENT || exponent < MIN_EXPONENT)) {
    if (coefficient === 0n) exponent = MIN_EXPONENT - 1;
    coefficient /= 10n;
    exponent++;
  }
  if (coefficient > MAX_COEFFICIENT || coefficient.toString().length > MAX_DIGITS) return undefined;
  if (exponent < MIN_EXPONENT || exponent > MAX_EXPONENT) return undefined;
  return pack((BigInt(exponent + BIAS) << 113n) | coefficient, match[1] === '-');
}

function pack(value: bigint, negative: boolean): Buffer {
  const bits = negative ? value | SIGN : value;
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(bits & 0xffffffffffffffffn, 0);
  bytes.writeBigUInt64LE(bits >> 64n, 8);
  return bytes;
}
