/** The only user of execa. */

export interface ChildResult {
  readonly failed: boolean;
  /** Why it failed, with the end of what it wrote to stderr. */
  readonly message: string;
}

const TAIL = 2000;

/** Runs a program (no shell) to its end; its output goes to our stderr only as the tail of an error. */
export async function runChild(
  argv: readonly string[],
  options: { env: Readonly<Record<string, string | undefined>>; signal: AbortSignal },
): Promise<ChildResult> {
  const { execa } = await import('execa');
  const [program = '', ...args] = argv;
  const result = await execa(program, args, {
    env: options.env as Record<string, string>,
    extendEnv: false,
    cancelSignal: options.signal,
    reject: false,
    stdin: 'ignore',
    maxBuffer: 1024 * 1024,
  });
  const said = String(result.stderr ?? '')
    .slice(-TAIL)
    .trim();
  const how = result.exitCode === undefined ? 'it could not be run' : `exit status ${result.exitCode}`;
  return { failed: result.failed, message: said === '' ? how : `${how}: ${said}` };
}
