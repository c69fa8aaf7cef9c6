/** How far the client has come: it answers a query of ours among the statements that it reads. */
export interface ClientMarks {
  mark(): { readonly statement: Buffer; readonly reached: Promise<boolean> };
  /** Reads what the client says to its end. */
  watch(stdout: AsyncIterable<Uint8Array>): Promise<void>;
  /** It ended before it came to a mark. */
  missed(): boolean;
}

const TAIL_CHARS = 200;

export function clientMarks(): ClientMarks {
  let count = 0;
  let said = '';
  let ended = false;
  let missed = false;
  let waiting: { readonly answer: string; readonly resolve: (reached: boolean) => void } | undefined;
  const look = () => {
    if (waiting === undefined) return;
    const reached = said.includes(waiting.answer);
    if (!reached && !ended) return;
    missed ||= !reached;
    waiting.resolve(reached);
    waiting = undefined;
  };
  return {
    missed: () => missed,
    mark() {
      const answer = `dguard is at ${++count}.`;
      const reached = new Promise<boolean>((resolve) => {
        waiting = { answer, resolve };
      });
      look();
      return { statement: Buffer.from(`\nSELECT '${answer}' AS mark;\n`), reached };
    },
    async watch(stdout) {
      try {
        for await (const chunk of stdout) {
          said = (said + Buffer.from(chunk).toString('latin1')).slice(-TAIL_CHARS - chunk.length);
          look();
          said = said.slice(-TAIL_CHARS);
        }
      } finally {
        ended = true;
        look();
      }
    },
  };
}
