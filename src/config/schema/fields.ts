import * as z from 'zod';
import { parseDuration } from '../../plan/duration.ts';
import { cronProblem } from '../cron.ts';
import { parseSize } from '../size.ts';

/**
 * What the loader must know about a field besides its type. Declared once, here in the schema; the
 * loader, `config show` and the JSON Schema read it.
 */
export type FieldFacts =
  /** A secret: `x`, beside which `x_file` and `x_command` exist. */
  | { kind: 'secret'; name: string; form: SecretForm }
  | { kind: 'secret_file'; name: string; form: SecretForm }
  | { kind: 'secret_command'; name: string; form: SecretForm }
  /** A path, relative to the folder of the file that holds it. */
  | { kind: 'path' }
  /** A folder or program that dguard will execute from: counts as a command for the question of trust. */
  | { kind: 'command' }
  | { kind: 'command_path' }
  /** One value stands for a list of one. */
  | { kind: 'list' }
  /** Text stands for a mapping with this one key. */
  | { kind: 'shorthand'; key: string }
  /** `true` and `false` stand for these words. */
  | { kind: 'words'; yes: string; no: string };

/**
 * How a secret's text is read. `text`: as it is. `key`: 32 bytes, raw in a file, or hex or base64.
 * `url`, `uri`: an address; a `uri` is a secret in clear only if a password stands in it.
 */
export type SecretForm = 'text' | 'key' | 'url' | 'uri';

const registry = z.registry<FieldFacts>();

export function factsOf(schema: z.core.$ZodType): FieldFacts | undefined {
  return registry.get(schema);
}

function field<S extends z.ZodType>(schema: S, facts: FieldFacts): S {
  registry.add(schema, facts);
  return schema;
}

type SecretShape<N extends string> = { [K in N | `${N}_file`]: z.ZodOptional<z.ZodString> } & {
  [K in `${N}_command`]: z.ZodOptional<z.ZodArray<z.ZodString>>;
};

/** The three keys of a secret, all optional; `secretRules` holds that at most one is given. */
export function secret<const N extends string>(name: N, form: SecretForm = 'text'): SecretShape<N> {
  return {
    [name]: field(anyText(), { kind: 'secret', name, form }).optional(),
    [`${name}_file`]: field(text(), { kind: 'secret_file', name, form }).optional(),
    [`${name}_command`]: field(z.array(argument()).min(1), { kind: 'secret_command', name, form }).optional(),
  } as unknown as SecretShape<N>;
}

/** A secret without `_file` and `_command`: a value of a mapping whose keys are free. */
export const secretValue = (): z.ZodString => field(line(), { kind: 'secret', name: '', form: 'text' });

/** Whatever it holds: a secret. */
const anyText = (): z.ZodString => z.string().min(1);
/** A name, a path, a word. Blanks alone, and the line break of a file or a variable at its end, are slips. */
export const text = (): z.ZodString =>
  z
    .string()
    .min(1, { abort: true })
    .refine((value) => value.trim() !== '', { message: 'must not be blank', abort: true })
    .refine((value) => !value.includes('\0'), { message: 'must not hold a NUL byte', abort: true })
    .refine(
      (value) => !/^[\r\n]|[\r\n]$/.test(value),
      'must not begin or end with a line break (a variable or a file may have brought it)',
    );
/** What a program is given, or a shell reads: no NUL byte can be. */
const argument = (): z.ZodString =>
  z
    .string()
    .min(1, { abort: true })
    .refine((value) => !value.includes('\0'), 'must not hold a NUL byte');
/** Text that ends up in a header or on a line of its own. */
export const line = (): z.ZodString => z.string().regex(/^[^\r\n\0]+$/, 'must be one line of text');
export const path = (): z.ZodString => field(text(), { kind: 'path' });
export const count = (min = 0, max = 1_000_000): z.ZodNumber => z.number().int().min(min).max(max);
export const port = (): z.ZodNumber => count(1, 65_535);
export const positive = (): z.ZodNumber => z.number().positive();
export const percent = (): z.ZodNumber => z.number().min(0).max(100);

export function list<S extends z.ZodType>(inner: S, min = 0): z.ZodArray<S> {
  return field(min > 0 ? z.array(inner).min(min) : z.array(inner), { kind: 'list' });
}

export function shorthand<S extends z.ZodType>(schema: S, key: string): S {
  return field(schema, { kind: 'shorthand', key });
}

export const sslMode = () =>
  field(z.enum(['disable', 'prefer', 'require', 'verify-ca', 'verify-full']), {
    kind: 'words',
    yes: 'verify-full',
    no: 'disable',
  });

export const commandWords = () => field(z.array(argument()), { kind: 'command' });
export const commandPaths = () => list(field(text(), { kind: 'command_path' }));

/** A program to run: text for `sh -c`, or a program and its arguments. */
export const hookCommand = () =>
  field(
    z.union(
      [argument(), z.array(argument()).min(1)],
      'must be a command as text, or a list of program and arguments',
    ),
    {
      kind: 'command',
    },
  );

/** Letters, digits and `. _ -`, beginning with a letter or digit: it becomes part of paths. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
export const NAME_MESSAGE =
  'a name has letters, digits and . _ - only, begins with a letter or digit, and has at most 100';
export const name = () => z.string().regex(NAME_PATTERN, NAME_MESSAGE);

const DURATION_MESSAGE = 'must be a duration such as 90s, 30m, 26h, 7d';
const SIZE_MESSAGE = 'must be a size such as 500KB, 10MB, 1GiB';
export const duration = () =>
  z.string(DURATION_MESSAGE).refine((value) => parseDuration(value) !== undefined, DURATION_MESSAGE);
export const size = () =>
  z.string(SIZE_MESSAGE).refine((value) => parseSize(value) !== undefined, SIZE_MESSAGE);
export const cron = () =>
  z.string().check((context) => {
    const message = cronProblem(context.value);
    if (message !== undefined) context.issues.push({ code: 'custom', message, input: context.value });
  });
export const timezone = () =>
  z.string().refine(isTimezone, 'must be an IANA time zone such as Europe/Berlin or UTC');
export const httpUrl = () =>
  z.string().refine(isHttpUrl, 'must be an http:// or https:// address without user name and password');

function isTimezone(value: string): boolean {
  try {
    // Newer runtimes also take offsets such as +01:00, which have no summer time and are no IANA names.
    if (!/^[A-Za-z]/.test(value)) return false;
    // The list of names alone is quicker than the first formatter; it lacks aliases.
    if (value === 'UTC' || Intl.supportedValuesOf('timeZone').includes(value)) return true;
    return new Intl.DateTimeFormat('en', { timeZone: value }) !== undefined;
  } catch {
    return false;
  }
}

/** True for an http or https address that holds no credentials. */
export function isHttpUrl(value: string): boolean {
  if (!/^https?:\/\//i.test(value) || !URL.canParse(value)) return false;
  const { username, password, hostname } = new URL(value);
  return hostname !== '' && username === '' && password === '';
}
