const ASCII = /^[\x20-\x7e]*$/;
/** East Asian Wide and Fullwidth (Unicode's UAX 11), and what is drawn as a picture: two columns each. */
const WIDE =
  /^(?:\p{Emoji_Presentation}|.\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{16fe0}-\u{18cff}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}])/u;
const NO_WIDTH = /^[\p{M}\p{Cf}]/u;

/**
 * Rows under a head, in a frame as wide as they need; no line break at the end. A cell is one line of text
 * without escape codes. The work grows with the rows: a listing may have ten thousand.
 */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map(textWidth);
  for (const cells of rows)
    for (const [i, cell] of cells.entries()) widths[i] = Math.max(widths[i]!, textWidth(cell));
  const rule = (left: string, between: string, right: string) =>
    left + widths.map((width) => '─'.repeat(width + 2)).join(between) + right;
  const row = (cells: readonly string[]) =>
    `│${cells.map((cell, i) => ` ${cell}${' '.repeat(widths[i]! - textWidth(cell))} `).join('│')}│`;
  return [
    rule('┌', '┬', '┐'),
    row(head),
    ...(rows.length > 0 ? [rule('├', '┼', '┤')] : []),
    ...rows.map(row),
    rule('└', '┴', '┘'),
  ].join('\n');
}

/** Columns that a terminal needs for a text. */
function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length;
  let width = 0;
  for (const { segment } of new Intl.Segmenter().segment(text))
    width += WIDE.test(segment) ? 2 : NO_WIDTH.test(segment) ? 0 : 1;
  return width;
}
