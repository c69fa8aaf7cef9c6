export type FaultMode = 'die' | 'eio' | 'enospc' | 'lie';

export interface Faulted<T> {
  readonly calls: number;
  /** The call that failed; undefined: there were fewer. */
  readonly hit: string | undefined;
  readonly value: T | undefined;
  readonly error: unknown;
}

export function withFault<T>(
  mode: FaultMode | 'count',
  at: number,
  work: () => T | Promise<T>,
): Promise<Faulted<T>>;
export function countCalls(work: () => unknown): Promise<number>;
/** A call that worked; `path` is real, and of a descriptor what it was opened as. */
export interface TracedCall {
  readonly name: string;
  readonly path: string;
  /** The number by which a fault would hit it. */
  readonly at: number;
  /** Of a rename or a link. */
  readonly to?: string;
  /** Nothing was there before it. */
  readonly isNew?: boolean;
}
export function traceCalls(
  work: () => unknown,
  failAt?: number,
): Promise<{ trace: TracedCall[]; hit: string | undefined; error: unknown }>;
export function forEveryCall<S>(
  mode: FaultMode,
  steps: {
    prepare: () => S | Promise<S>;
    run: (state: S) => unknown;
    check: (state: S, seen: { at: number; hit: string | undefined; error: unknown }) => void | Promise<void>;
  },
): Promise<number>;
export function forEveryCallOfChild<S, O>(
  mode: FaultMode,
  steps: {
    prepare: () => S | Promise<S>;
    spawn: (state: S, env: Record<string, string>) => Promise<O>;
    check: (state: S, seen: { at: number; outcome?: O }) => void | Promise<void>;
    parallel?: number;
  },
): Promise<number>;
export function childEnv(mode: FaultMode | 'count', at: number | string): Record<string, string>;
