import { errorText } from '../errors.ts';

/**
 * What a driver's error says, for people. Several addresses of one host fail with an empty text of their own: it is
 * what each says. Of a connection that breaks Node says `read ECONNRESET` and no word about what it led to.
 */
export function driverText(error: unknown): string {
  const inner = error instanceof AggregateError ? error.errors.map(errorText).join('; ') : '';
  const text = inner || errorText(error);
  return /^(?:read|write) E[A-Z]+$/.test(text) ? `the connection to the server broke: ${text}` : text;
}
