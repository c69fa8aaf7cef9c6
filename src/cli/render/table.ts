/**
 * Rows under a head, in a frame as wide as they need; no line break at the end. A cell is one line of text.
 * cli-table3 draws the head and one row of the widest cells, and the others are fitted in there: it compares every
 * row with all above it, which took half a minute for ten thousand.
 */
export async function tableText(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): Promise<string> {
  const [{ default: Table }, { default: stringWidth }] = await Promise.all([
    import('cli-table3'),
    import('string-width'),
  ]);
  const widest = head.map(() => '');
  const widths = head.map(stringWidth);
  for (const cells of rows) {
    for (const [column, cell] of cells.entries()) {
      const width = stringWidth(cell);
      if (width <= widths[column]!) continue;
      widths[column] = width;
      widest[column] = cell;
    }
  }
  const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  if (rows.length > 0) table.push(widest);
  const lines = table.toString().split('\n');
  const pad = (cell: string, column: number) => ` ${cell}${' '.repeat(widths[column]! - stringWidth(cell))} `;
  const drawn = rows.map((cells) => `│${cells.map(pad).join('│')}│`);
  return [
    ...lines.slice(0, HEAD_LINES),
    ...drawn,
    ...lines.slice(HEAD_LINES + Math.min(rows.length, 1)),
  ].join('\n');
}

/** The frame's top, the head, the line beneath it. */
const HEAD_LINES = 3;
