import type { DestinationConfig, DestinationType } from '../config/types/destinations.ts';
import { DguardError } from '../errors.ts';
import type { Storage, StorageContext } from './types.ts';

type Factory<Config> = (destination: Config, context: StorageContext) => Promise<Storage>;
type ConfigOf<Type extends DestinationType, Config = DestinationConfig> = Config extends { type: infer Types }
  ? Type extends Types
    ? Config
    : never
  : never;

/** One line per adapter; its module, and what it needs, loads with the first destination of its type. */
const FACTORIES: { readonly [Type in DestinationType]?: Factory<ConfigOf<Type>> } = {
  local: async (destination, context) => (await import('./local.ts')).localStorage(destination, context),
};

/** The storage of a destination. Throws `unsupported` for a type without an adapter in this version. */
export async function createStorage(
  destination: DestinationConfig,
  context: StorageContext,
): Promise<Storage> {
  const factory = FACTORIES[destination.type] as Factory<DestinationConfig> | undefined;
  if (factory !== undefined) return factory(destination, context);
  throw new DguardError(
    'unsupported',
    `destination type '${destination.type}' is not built into this version yet`,
    { subject: context.name, hint: `this version has: ${storageTypes().join(', ')}` },
  );
}

/** The destination types that this version can open. */
export function storageTypes(): DestinationType[] {
  return Object.keys(FACTORIES) as DestinationType[];
}
