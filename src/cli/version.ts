import { createRequire } from 'node:module';

/** From the package's own package.json, wherever this code was bundled to. */
export function dguardVersion(): string {
  return (createRequire(import.meta.url)('#package.json') as { version: string }).version;
}
