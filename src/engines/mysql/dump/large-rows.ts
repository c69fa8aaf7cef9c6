import type { EngineSource } from '../../types.ts';
import type { MysqlOptions } from '../options.ts';

/** The largest packet of the protocol that any server can be told to take. */
const MAX_PACKET_BYTES = 1024 ** 3;
const MIB = 1024 * 1024;

/** Statements of a dump that its own server would not take: a row is never parted. */
export interface LargeRows {
  /** A statement, or the most that it can become. */
  saw(table: string, statementBytes: number): void;
  /** Warns where there were any: on the worst day it is too late to learn of them. */
  warn(): void;
}

/** @param maxPacketBytes `max_allowed_packet` of the server that is dumped */
export function watchLargeRows(
  maxPacketBytes: number,
  source: EngineSource<MysqlOptions>,
  subject: string,
): LargeRows {
  const found = new Map<string, number>();
  return {
    saw(table, statementBytes) {
      // The command's own byte comes in front.
      if (statementBytes < maxPacketBytes || statementBytes <= (found.get(table) ?? 0)) return;
      found.set(table, statementBytes);
    },
    warn() {
      if (found.size === 0) return;
      const largest = [...found].sort(([, a], [, b]) => b - a);
      const [, most] = largest[0]!;
      const named = largest.slice(0, 5).map(([table]) => table);
      const size = (bytes: number) => `${Math.ceil(bytes / MIB)} MiB`;
      const way =
        most < MAX_PACKET_BYTES
          ? `before a restore: SET GLOBAL max_allowed_packet = ${2 ** Math.ceil(Math.log2(most + 1))}`
          : 'no server takes so much at once';
      source.warn({
        message: `rows of ${named.join(', ')} become statements of up to ${size(most)}, and the server takes ${size(maxPacketBytes)}; ${way}`,
        subject,
        partial: false,
      });
    },
  };
}
