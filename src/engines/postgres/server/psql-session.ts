import { randomBytes } from 'node:crypto';
import { openChild } from '../../../child/open.ts';
import { SCRIPT_HEAD } from './connection.ts';
import { jsonQuery, type Session } from './session.ts';

/**
 * A session through psql: where the client tools run elsewhere (`client_command`) or as another user
 * (`run_as`), only they can connect. `argv` is psql with all it needs to get in.
 */
export async function openPsqlSession(
  argv: readonly string[],
  options: {
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly signal: AbortSignal;
    readonly redact: readonly string[];
  },
): Promise<Session> {
  const input = lineQueue();
  const flags = ['-X', '-A', '-t', '-q', '--no-password', '-P', 'pager=off', '-v', 'ON_ERROR_STOP=0'];
  const child = await openChild([...argv, ...flags], {
    ...options,
    stdin: input.lines(),
    chunkBytes: 1,
    failure: { code: 'source_failed', operation: 'connect' },
  });
  const output = child.stdout[Symbol.asyncIterator]();
  let pending = '';
  const readUntil = async (mark: string): Promise<string> => {
    const pieces: string[] = [];
    const decoder = new TextDecoder();
    for (;;) {
      const tail = (pieces.at(-1) ?? '').slice(-mark.length) + pending;
      if (tail.includes(mark)) {
        const text = pieces.join('') + pending;
        const end = text.indexOf(mark);
        pending = text.slice(end + mark.length);
        return text.slice(0, end);
      }
      pieces.push(pending);
      const { value, done } = await output.next();
      if (done) throw new Error('psql ended while it was asked something');
      pending = decoder.decode(value, { stream: true });
    }
  };
  let queue: Promise<unknown> = Promise.resolve();
  const ask = (sql: string): Promise<string> => {
    const mark = `dguard-${randomBytes(9).toString('hex')}`;
    const answer = queue.then(async () => {
      input.push(
        `${sql};\n\\echo ${mark} :ERROR :SQLSTATE\n\\echo :LAST_ERROR_MESSAGE\n\\echo ${mark} end\n`,
      );
      const result = await readUntil(mark);
      const status = await readUntil(`${mark} end\n`);
      const [, failed, state] = /^ (true|false) (\S*)\n/.exec(status) ?? [];
      if (failed === 'false') return result;
      const message = status.slice(status.indexOf('\n') + 1).trim();
      throw Object.assign(new Error(message || 'psql did not say what failed'), { code: state });
    });
    queue = answer.catch(() => {});
    return answer;
  };
  const session: Session = {
    rows: async <Row>(sql: string) => JSON.parse(await ask(jsonQuery(sql))) as Row[],
    run: async (sql) => void (await ask(sql)),
    async close() {
      input.end();
      for (;;) if ((await output.next().catch(() => ({ done: true }))).done) break;
      await child.done.catch(() => {});
    },
  };
  input.push(SCRIPT_HEAD);
  await session.rows('SELECT 1 AS one');
  return session;
}

/** Text for a child's stdin, as it comes. */
export function lineQueue(): { push(text: string): void; end(): void; lines(): AsyncGenerator<Uint8Array> } {
  const texts: string[] = [];
  let ended = false;
  let wake = () => {};
  return {
    push(text) {
      texts.push(text);
      wake();
    },
    end() {
      ended = true;
      wake();
    },
    async *lines() {
      for (;;) {
        while (texts.length > 0) yield Buffer.from(texts.shift()!);
        if (ended) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
