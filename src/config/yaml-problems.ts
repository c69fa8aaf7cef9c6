import type { YAMLError } from 'yaml';

/** What is wrong with a text that is no YAML. `offset` is where in it. */
export interface YamlProblem {
  readonly offset: number;
  readonly message: string;
  readonly hint?: string;
}

const QUOTE = 'a value that begins with one of ! & * @ % ` | > { [ or holds ": " stands in quotes';
const QUOTE_VARIABLE = 'between { } and [ ], a variable stands in quotes: "$' + '{NAME}"';

/**
 * The parser's errors in words that quote nothing of the text: what stands there may be a password that no quotes
 * protect. An unexpected token makes nonsense of all that follows, so nothing is said of that.
 */
export function yamlProblems(errors: readonly YAMLError[], text: string): YamlProblem[] {
  const inOrder = [...errors].sort((a, b) => a.pos[0] - b.pos[0]);
  const lost = inOrder.findIndex(({ code }) => code === 'UNEXPECTED_TOKEN');
  const told = inOrder.slice(0, lost < 0 ? inOrder.length : lost + 1);
  return told.map(({ code, message, pos: [offset] }) => ({ offset, ...said(code, message, text, offset) }));
}

function said(
  code: YAMLError['code'],
  message: string,
  text: string,
  offset: number,
): Omit<YamlProblem, 'offset'> {
  const no = (why: string) => `is no valid YAML: ${why}`;
  switch (code) {
    case 'DUPLICATE_KEY':
      return { message: 'this key stands here twice' };
    case 'TAG_RESOLVE_FAILED':
      return { message: no('a value that begins with ! is a tag, and not a known one'), hint: QUOTE };
    case 'BAD_DIRECTIVE':
      return { message: no('a line that begins with % is a directive, and not a known one'), hint: QUOTE };
    case 'BAD_DQ_ESCAPE':
      return {
        message: no('in double quotes \\ begins an escape sequence, and this is not a known one'),
        hint: "put the value in single quotes, where \\ is a \\ and '' is a '",
      };
    case 'MULTIPLE_DOCS':
      return { message: no('a line --- begins a second document'), hint: 'a file holds one' };
    case 'UNEXPECTED_TOKEN': {
      const isVariable = text[offset - 1] === '$' && text[offset] === '{';
      if (isVariable) return { message: no('this { begins a mapping, after a $ too'), hint: QUOTE_VARIABLE };
      return { message: no(message.replace(/: .*$/s, '')), hint: QUOTE };
    }
    case 'BAD_SCALAR_START':
    case 'BLOCK_AS_IMPLICIT_KEY':
      return { message: no(message), hint: QUOTE };
    default:
      return { message: no(message) };
  }
}
