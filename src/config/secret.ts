import { inspect } from 'node:util';
import { MIN_REDACTED_LENGTH, REDACTED, withoutSecrets } from '../redact.ts';

/** Every secret of this process, and what a driver may repeat of it, the longest first. */
const known: string[] = [];

/**
 * A secret text. Whatever prints, serialises or inspects it gets `[redacted]`; only `reveal` opens it,
 * so that every place where a secret leaves dguard can be found by that one name.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
    remember(value);
  }

  /** The secret itself. Never for argv, logs, errors, manifests or notifications. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}

/**
 * A text without any secret that this process has opened: for what others say (drivers, client tools,
 * hooks), which may repeat what it was given. To be applied where text leaves: terminal, logs, manifests,
 * notifications.
 */
export function redact(text: string): string {
  return withoutSecrets(text, known);
}

/** The password inside a connection URI, as it stands there. */
export function passwordOfUri(value: string): string | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*?:([^/?#]*)@/i.exec(value)?.[1];
}

/** The value, without the space around it too, as URLs write it, and the password inside a URI. */
function remember(value: string): void {
  const password = passwordOfUri(value);
  const texts = [value, value.trim(), ...(password === undefined ? [] : [password])];
  for (const text of texts) {
    for (const form of [text, orSame(encodeURIComponent, text), orSame(decodeURIComponent, text)]) {
      if (form.length >= MIN_REDACTED_LENGTH && !known.includes(form)) known.push(form);
    }
  }
  known.sort((a, b) => b.length - a.length);
}

/** Both refuse what is not well formed. */
function orSame(convert: (text: string) => string, text: string): string {
  try {
    return convert(text);
  } catch {
    return text;
  }
}
