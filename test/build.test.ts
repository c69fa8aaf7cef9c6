import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));

describe('the build', () => {
  it('leaves every thread where it is looked for', async () => {
    const { threadFile } = (await import(new URL('../dist/threads.js', import.meta.url).href)) as {
      threadFile: (module: string) => URL | undefined;
    };
    const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.ts'),
    );
    const asked = sources.flatMap((path) =>
      [...readFileSync(`${SRC}${path}`, 'utf8').matchAll(/threadFile\('([^']+)'\)/g)].map(
        ([, module]) => module!,
      ),
    );
    expect(asked.length).toBeGreaterThanOrEqual(3);
    expect(asked.filter((module) => !existsSync(threadFile(module)!))).toEqual([]);
  });
});
