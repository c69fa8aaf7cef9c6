import { parseDuration } from '../../plan/duration.ts';

/** An object without the keys whose value is undefined. */
export function given<T extends object>(object: T): Given<T> {
  const members = Object.entries(Object.getOwnPropertyDescriptors(object));
  return Object.defineProperties(
    {},
    Object.fromEntries(members.filter(([, { get, value }]) => get !== undefined || value !== undefined)),
  ) as Given<T>;
}
type Given<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Maps without prototype: a name is there only if the configuration defines it. */
export function mapNames<In, Out>(
  section: Readonly<Record<string, In>> | undefined,
  make: (name: string, entry: In) => Out,
): Record<string, Out> {
  const made: Record<string, Out> = Object.create(null);
  for (const [name, entry] of Object.entries(section ?? {})) made[name] = make(name, entry);
  return made;
}

/** Milliseconds of a duration that the schema has checked. */
export const durationMs = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : parseDuration(text);
