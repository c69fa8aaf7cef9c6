import { fromText } from '../../../archive/paths.ts';
import { DguardError, toDguardError } from '../../../errors.ts';
import type { TargetSwaps, UndoCopy, UndoOutcome } from '../../swaps.ts';
import type { TargetRequest } from '../../types.ts';
import { findUnits } from '../../undo/find.ts';
import { discardUnit, keptSince, type SwapUnit, unitState } from '../../undo/unit.ts';
import type { SqliteOptions } from '../options.ts';
import { keptPath, recoverDatabase, swapDatabase } from './swap.ts';
import { resolveUndoTarget, targetPath, targetPathIfThere, wantedPath } from './target.ts';

/** What restores of a database keep beside it. */
export const sqliteSwaps: TargetSwaps<SqliteOptions> = {
  places: async (request) => [(await targetPathIfThere(request)) ?? (await wantedPath(request))],
  recover: async (request, isLook) => {
    const path = isLook === true ? await targetPathIfThere(request) : await targetPath(request);
    return path === undefined ? [] : await recoverDatabase(path);
  },
  undoCopies: async (request) => keptUnits(await targetPath(request)).map(undoCopy),
  undo: undoNewest,
  dropUndo: async (request, keep) => dropKept(await targetPath(request), keep),
};

async function undoNewest(request: TargetRequest<SqliteOptions>): Promise<UndoOutcome> {
  const path = await targetPath(request);
  for (const message of await recoverDatabase(path)) request.warn({ message, partial: false });
  const [unit] = keptUnits(path);
  if (unit === undefined) {
    throw new DguardError('nothing_there', 'no restore of this database keeps anything for undo', {
      operation: 'undo',
      subject: path,
    });
  }
  const restored = undoCopy(unit);
  try {
    const target = await resolveUndoTarget(path);
    const { undo } = await swapDatabase({
      unit,
      step: 'undoing',
      target,
      at: request.now(),
      warn: request.warn,
    });
    return {
      target: path,
      restored,
      ...(undo === undefined || target.existing === undefined ? {} : { undo }),
    };
  } catch (error) {
    throw toDguardError(error, 'target_failed', { operation: 'undo', subject: path });
  }
}

/** Removes what older restores of a database keep, but for the newest `keep`. */
export function dropKept(path: string, keep: number): UndoCopy[] {
  return keptUnits(path)
    .slice(keep)
    .map((unit) => {
      const copy = undoCopy(unit);
      discardUnit(unit);
      return copy;
    });
}

function keptUnits(path: string): SwapUnit[] {
  return findUnits(fromText(path))
    .filter((unit) => unitState(unit) === 'kept')
    .sort((a, b) => (keptSince(a) < keptSince(b) ? 1 : -1));
}

function undoCopy(unit: SwapUnit): UndoCopy {
  return { name: keptPath(unit), backupId: unit.backupId, createdAt: new Date(keptSince(unit)) };
}
