import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Beyond these nobody reads on, and each may be a mount that does not answer. */
const LOOKED_AT = 20;
const NAMED = 3;
/** What lies behind a link may hang. */
const PATIENCE_MS = 500;

/**
 * What is to be said of links inside a destination: whoever has moved a job's folder and left a link sees no backup of
 * it. Undefined where none leads to a folder: files of others are nobody's business.
 */
export async function linksText(root: string, links: ReadonlySet<string>): Promise<string | undefined> {
  const looked = [...links].slice(0, LOOKED_AT);
  const leads = await Promise.all(looked.map((key) => leadsToFolder(join(root, key))));
  const folders = looked.filter((_, i) => leads[i]);
  if (folders.length === 0) return undefined;
  const more = folders.length > NAMED ? ` and ${folders.length - NAMED} more` : '';
  return `backups behind a link are not seen: ${folders.slice(0, NAMED).join(', ')}${more} (links inside a destination are not followed: mount the folder there instead, or make it a destination of its own)`;
}

async function leadsToFolder(path: string): Promise<boolean> {
  const found = stat(path).then(
    (facts) => facts.isDirectory(),
    () => false,
  );
  return Promise.race([found, sleep(PATIENCE_MS, true, { ref: false })]);
}
