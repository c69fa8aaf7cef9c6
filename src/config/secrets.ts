import { execFile } from 'node:child_process';
import nodePath from 'node:path';
import { MIN_REDACTED_LENGTH } from '../redact.ts';
import { readWithFacts, textProblem, writableProblem } from './files.ts';
import type { Env } from './interpolate.ts';
import type { SecretPlace } from './prepare.ts';
import type { ConfigProblem } from './problems.ts';
import { isHttpUrl, type SecretForm } from './schema/fields.ts';
import { passwordOfUri, Secret } from './secret.ts';
import { type Marks, problemAt, type TreePath } from './tree.ts';

/** Resolved secrets by the path of their own key. */
export type Secrets = (path: TreePath) => Secret | undefined;

/** Secrets relative to one entry of the configuration. */
export type OwnSecrets = (...path: string[]) => Secret | undefined;

export function under(secrets: Secrets, base: TreePath): OwnSecrets {
  return (...path) => secrets([...base, ...path]);
}

export interface ResolveOptions {
  readonly env: Env;
  /** False: `_command`s are not run (the configuration has problems, or is not trusted). */
  readonly runCommands: boolean;
  readonly problems: ConfigProblem[];
}

const COMMAND_TIMEOUT_MS = 60_000;
const MAX_SECRET_BYTES = 64 * 1024;

/** Opens every secret that the configuration names; what cannot be had is added to the problems. */
export async function resolveSecrets(
  places: readonly SecretPlace[],
  marks: Marks,
  options: ResolveOptions,
): Promise<Secrets> {
  const resolved = new Map<string, Secret>();
  for (const place of places) {
    const report = (message: string, hint?: string, severity?: ConfigProblem['severity']) =>
      options.problems.push(problemAt(marks, place.at, message, hint, severity));
    const bytes = await readPlace(place, marks, options, report);
    if (bytes === undefined) continue;
    const notText = place.form === 'key' ? undefined : secretTextProblem(bytes);
    if (notText !== undefined) {
      report(notText);
      continue;
    }
    const value = place.form === 'key' ? keyOf(bytes, place.from === 'file') : bytes.toString('utf8');
    const problem =
      value === undefined ? 'is no key: 32 bytes, or these as hex or base64' : formProblem(value, place);
    if (problem === undefined && isShort(value!, place)) {
      report(
        `is shorter than ${MIN_REDACTED_LENGTH} characters: it is not taken out of messages and logs`,
        'choose a longer one',
        'warning',
      );
    }
    if (problem !== undefined) report(problem);
    else resolved.set(JSON.stringify(place.path), new Secret(value!));
  }
  return (path) => resolved.get(JSON.stringify(path));
}

type Report = (message: string, hint?: string, severity?: ConfigProblem['severity']) => void;

async function readPlace(
  place: SecretPlace,
  marks: Marks,
  options: ResolveOptions,
  report: Report,
): Promise<Buffer | undefined> {
  // Of the wrong type or empty: the schema has said so.
  if (place.from === 'value') {
    return typeof place.value === 'string' && place.value !== '' ? Buffer.from(place.value) : undefined;
  }
  if (place.from === 'file') {
    // Not a path at all: the schema has said so.
    if (typeof place.value !== 'string' || place.value.trim() === '' || place.value.includes('\0'))
      return undefined;
    const file = await readWithFacts(place.value);
    if (typeof file === 'string') {
      report(`${place.value} ${file}`);
      return undefined;
    }
    const writable = writableProblem(file);
    if (writable !== undefined) {
      report(`${place.value} ${writable.message}`, `chmod go-w ${place.value}`, writable.severity);
      if (writable.severity === 'unsafe') return undefined;
    }
    if (file.bytes.length > MAX_SECRET_BYTES) report(`${place.value} is too large for a secret`);
    return withoutNewline(file.bytes, place.form);
  }
  const words = place.value;
  if (!options.runCommands || !Array.isArray(words) || words.length === 0) return undefined;
  if (!words.every((word) => typeof word === 'string')) return undefined;
  const cwd = nodePath.dirname(marks.position(place.at)?.file ?? '/');
  const output = await runCommand(words as string[], cwd, options.env);
  if (typeof output !== 'string') return withoutNewline(output, place.form);
  // Neither its output nor its complaints: both may hold the secret.
  report(`the command ${words[0]} ${output}`, 'run it by hand to see why');
  return undefined;
}

/** Runs a program without a shell; its output, or in words why there is none. */
function runCommand(words: readonly string[], cwd: string, env: Env): Promise<Buffer | string> {
  const limits = { encoding: 'buffer', timeout: COMMAND_TIMEOUT_MS, maxBuffer: MAX_SECRET_BYTES } as const;
  return new Promise((resolve) => {
    const child = execFile(
      words[0]!,
      words.slice(1),
      { ...limits, cwd, env: { ...env } },
      (error, stdout) => {
        if (error === null) return resolve(stdout);
        if (error.code === 'ENOENT') return resolve('was not found');
        if (error.code === 'EACCES') return resolve('may not be run');
        if (error.killed || String(error.code) === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER')
          return resolve('took too long or said too much');
        resolve(typeof error.code === 'number' ? `failed with exit status ${error.code}` : 'failed');
      },
    );
    // One that asks for input gets none, instead of waiting for ever. It may be gone before that.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end();
  });
}

/** Otherwise a password would be another one than its owner wrote. */
function secretTextProblem(bytes: Buffer): string | undefined {
  if (bytes.subarray(0, 3).equals(BYTE_ORDER_MARK)) return 'begins with a byte order mark: save it without';
  return textProblem(bytes);
}

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/** Without one trailing newline. A raw key may end in that byte, so a file of exactly 32 bytes stays whole. */
function withoutNewline(bytes: Buffer, form: SecretForm): Buffer {
  if (form === 'key' && bytes.length === 32) return bytes;
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}

/** A key as base64, or undefined. Only a file can hold it raw. */
function keyOf(bytes: Buffer, isFile: boolean): string | undefined {
  if (isFile && bytes.length === 32) return bytes.toString('base64');
  const text = bytes.toString('latin1').trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex').toString('base64');
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(text)) return Buffer.from(text, 'base64').toString('base64');
  return undefined;
}

/** Would it be taken out of every second word? An address without a password, and most headers, are no secrets. */
function isShort(value: string, { form, path }: SecretPlace): boolean {
  if (path.at(-2) === 'headers') return false;
  const secret = form === 'uri' ? passwordOfUri(value) : value;
  return secret !== undefined && secret !== '' && secret.length < MIN_REDACTED_LENGTH;
}

/** What is wrong with a secret by its form; never quotes it. */
function formProblem(value: string, place: SecretPlace): string | undefined {
  if (value === '') return 'is empty';
  if (value.includes('\0')) return 'holds a NUL byte';
  if (place.form === 'url' && !isHttpUrl(value)) {
    return 'must be an http:// or https:// address without user name and password';
  }
  if (place.form === 'uri' && !/^[a-z][a-z0-9+]*:\/\/\S+$/i.test(value)) {
    return 'must be a connection URI, scheme://…';
  }
  return undefined;
}
