import { DguardError, errorText } from '../errors.ts';
import { startChild } from './start.ts';
import type { ChildOptions } from './types.ts';

export interface ChildResult {
  readonly failed: boolean;
  /** Why it failed, with the end of what it wrote to stderr. */
  readonly message: string;
}

/** The output of a small program as text, UTF-8 or what `decode` makes of it. Errors: those of `openChild`; `failure.code` beyond `maxBytes`. */
export async function readChild(
  argv: readonly string[],
  options: ChildOptions & { readonly maxBytes: number; readonly decode?: (bytes: Buffer) => string },
): Promise<string> {
  const child = await startChild(argv, options);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of child.stdout) {
    sizeBytes += chunk.length;
    if (sizeBytes > options.maxBytes) {
      throw new DguardError(
        options.failure?.code ?? 'source_failed',
        `${argv[0]} wrote more than ${options.maxBytes} bytes`,
        { operation: options.failure?.operation ?? `run ${argv[0]}` },
      );
    }
    chunks.push(chunk);
  }
  const all = Buffer.concat(chunks);
  return options.decode?.(all) ?? all.toString('utf8');
}

/** Runs a program (no shell) to its end; its output goes nowhere but, stderr's tail, into the message. */
export async function runChild(
  argv: readonly string[],
  options: { env: Readonly<Record<string, string | undefined>>; signal: AbortSignal },
): Promise<ChildResult> {
  try {
    const child = await startChild(argv, options);
    for await (const _ of child.stdout);
    return { failed: false, message: (await child.done).stderr };
  } catch (error) {
    return { failed: true, message: errorText(error) };
  }
}
