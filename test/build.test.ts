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

  it('carries the licence of every package whose code it holds', () => {
    const dist = fileURLToPath(new URL('../dist/', import.meta.url));
    const files = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.js'),
    );
    // The comment that rolldown writes above each module.
    const module = /^\/\/ ?(?:#region )?\S*node_modules\/((?:@[^/]+\/)?[^/]+)\//gm;
    const code = files.map((path) => readFileSync(`${dist}${path}`, 'utf8')).join('\n');
    const bundled = new Set([...code.matchAll(module)].map(([, name]) => name!));
    expect(bundled.size).toBeGreaterThan(8);
    const text = readFileSync(`${dist}THIRD-PARTY-LICENSES.txt`, 'utf8');
    expect([...bundled].filter((name) => !`\n${text}`.includes(`\n${name}@`))).toEqual([]);
    expect(text).toContain('Permission is hereby granted');
  });
});
