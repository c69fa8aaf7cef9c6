/** A word of a command that a person types: quoted where a shell would read it otherwise. */
export function shellWord(text: string): string {
  return /^[\w./+%@=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
