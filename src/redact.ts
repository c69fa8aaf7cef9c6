export const REDACTED = '[redacted]';

/**
 * What is shorter is not taken out of texts: it would be taken out of every second word, which hides nothing (the
 * holes tell what it is) and leaves nobody able to read what went wrong. The configuration warns of such a secret.
 */
export const MIN_REDACTED_LENGTH = 4;

/** A text without these secrets. One that holds another must stand before it. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret.length >= MIN_REDACTED_LENGTH && clean.includes(secret)) {
      clean = clean.replaceAll(secret, REDACTED);
    }
  }
  return clean;
}
