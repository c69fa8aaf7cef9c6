import { element, elements, TYPE, textValue } from '../../../src/engines/mongodb/bson/bson.ts';
import { type Cut, openProxy, type Wire, type WireProxy } from '../support-proxy.ts';

const WRITES = [
  'insert',
  'update',
  'delete',
  'create',
  'createIndexes',
  'renameCollection',
  'drop',
  'dropDatabase',
];
/** https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#op_msg: header, flags, kind, document. */
const OP_MSG = 2013;
const HEADER_BYTES = 16;

/** The command that writes the role `swap` into a mark: until it arrives a restore is taken back, then finished. */
export const SWAP = 'swap __dguard';
const ROLE_SWAP = element(TYPE.string, 'role', textValue('swap'));

const MONGODB: Wire = {
  length: (bytes) => (bytes.length < 4 ? undefined : bytes.readInt32LE(0)),
  /**
   * A command that writes, with what it writes to: `insert __dguard`, `drop users`. That a mark's lease goes on, which
   * comes by the clock, is none: numbers would mean another command in a run that takes longer.
   */
  statement(message) {
    if (message.readInt32LE(12) !== OP_MSG || message[HEADER_BYTES + 4] !== 0) return undefined;
    for (const { name, start, end } of elements(message, HEADER_BYTES + 5)) {
      if (!WRITES.includes(name)) return undefined;
      const command = `${name} ${message.toString('utf8', start + 4, end - 1)}`;
      if (command !== 'update __dguard') return command;
      if (message.includes('leaseUntil')) return undefined;
      return message.includes(ROLE_SWAP) ? SWAP : command;
    }
    return undefined;
  },
};

/**
 * Counts the commands that write, from the first on the collection of marks.
 *
 * @param late of all commands that write and match, the first reaches the server only when the second was answered
 */
export function openMongodbProxy(port: number, cut?: Cut, late?: RegExp): Promise<WireProxy> {
  return openProxy(port, MONGODB, { since: (command) => command.endsWith(' __dguard'), cut, late });
}
