import { inspect } from 'node:util';

const REDACTED = '[redacted]';

/**
 * A secret text. Whatever prints, serialises or inspects it gets `[redacted]`; only `reveal` opens it,
 * so that every place where a secret leaves dguard can be found by that one name.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
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
