/** MariaDB's tools begin a dump with it since May 2024; other clients take it for an error. */
const SANDBOX_LINE = /^\/\*M?!999999\\- enable the sandbox mode \*\/[ \t]*\r?\n/;
const SANDBOX_MAX_BYTES = 80;

/** A dump without that line, if it is the first and exactly that. */
export async function* withoutSandboxLine(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of chunks) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
    if (head.length < SANDBOX_MAX_BYTES) continue;
    yield afterSandboxLine(head);
    head = undefined;
  }
  if (head !== undefined) yield afterSandboxLine(head);
}

function afterSandboxLine(head: Buffer): Buffer {
  const line = SANDBOX_LINE.exec(head.toString('latin1', 0, SANDBOX_MAX_BYTES))?.[0];
  return line === undefined ? head : head.subarray(line.length);
}
