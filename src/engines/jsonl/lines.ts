import { createHash } from 'node:crypto';
import { DguardError } from '../../errors.ts';
import type { BackupContent } from '../types.ts';

const MAX_LINE_BYTES = 1024 * 1024 * 1024;

/** The lines of a UTF-8 text. The last one, too, ends with a line feed: what does not was cut. Throws `corrupt`. */
export async function* textLines(
  chunks: AsyncIterable<Uint8Array>,
  subject?: string,
): AsyncGenerator<string> {
  const fail = (why: string) =>
    new DguardError('corrupt', why, {
      operation: 'read backup',
      ...(subject === undefined ? {} : { subject }),
    });
  let begun: Buffer[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      const tail = bytes.subarray(from, end);
      yield (begun.length === 0 ? tail : Buffer.concat([...begun, tail])).toString('utf8');
      begun = [];
      held = 0;
      from = end + 1;
    }
    if (from === bytes.length) continue;
    // A copy: the chunk's memory may be used again once the next one is asked for.
    begun.push(Buffer.from(bytes.subarray(from)));
    held += bytes.length - from;
    if (held > MAX_LINE_BYTES) throw fail('a line of over 1 GiB is no row');
  }
  if (held > 0) throw fail('the last line does not end');
}

/** What a document says of a table's rows. */
export interface RecordedRows {
  readonly member: string;
  readonly rows: number;
  /** SHA-256 of the member's bytes. */
  readonly sha256: string;
}

/**
 * The rows of an exported table as lines. At the end their number and the hash of the bytes are compared with what
 * `schema.json` says. Throws `corrupt`; `name` is the table's, for messages.
 */
export async function* tableLines(
  content: BackupContent,
  name: string,
  { member, rows, sha256 }: RecordedRows,
  onBytes: (count: number) => void = () => {},
): AsyncGenerator<string> {
  const fail = (why: string) => new DguardError('corrupt', why, { operation: 'read table', subject: name });
  const entry = await content.entry(member);
  if (entry === undefined) throw fail(`the backup has no ${member}`);
  const digest = createHash('sha256');
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of content.read(entry!)) {
      digest.update(chunk);
      onBytes(chunk.length);
      yield chunk;
    }
  }
  let count = 0;
  for await (const line of textLines(hashed(), member)) {
    count++;
    yield line;
  }
  if (count !== rows) throw fail(`${member} has ${count} rows, schema.json says ${rows}`);
  if (digest.digest('hex') !== sha256) throw fail(`${member} differs from its hash in schema.json`);
}
