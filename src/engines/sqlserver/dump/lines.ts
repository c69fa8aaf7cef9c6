import { DguardError } from '../../../errors.ts';

const MAX_LINE_BYTES = 1024 * 1024 * 1024;

/** The lines of a UTF-8 text. The last one, too, ends with a line feed: what does not was cut. */
export async function* textLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let pieces: Buffer[] = [];
  let held = 0;
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      pieces.push(bytes.subarray(from, end));
      yield Buffer.concat(pieces).toString('utf8');
      pieces = [];
      held = 0;
      from = end + 1;
    }
    if (from === bytes.length) continue;
    // The chunk is valid only until the next is asked for.
    pieces.push(Buffer.from(bytes.subarray(from)));
    held += bytes.length - from;
    if (held > MAX_LINE_BYTES) throw new DguardError('corrupt', 'a line of over 1 GiB is no row');
  }
  if (held > 0) throw new DguardError('corrupt', 'the last line does not end', { operation: 'read backup' });
}
