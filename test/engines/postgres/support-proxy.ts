import { type Cut, openProxy, type Wire, type WireProxy } from '../support-proxy.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html: every length counts itself. */
const POSTGRES: Wire = {
  length(bytes, isFirst) {
    // The first message has no type.
    const head = isFirst ? 0 : 1;
    return bytes.length < head + 4 ? undefined : head + bytes.readUInt32BE(head);
  },
  statement: (message) =>
    message[0] === 'Q'.charCodeAt(0) ? message.toString('utf8', 5, message.length - 1) : undefined,
};

/** `since`: the first statement that counts. */
export function openPostgresProxy(
  port: number,
  cut?: Cut,
  since?: (statement: string) => boolean,
): Promise<WireProxy> {
  return openProxy(port, POSTGRES, { cut, ...(since === undefined ? {} : { since }) });
}
