import { defineConfig } from 'vitest/config';
import { summaryReporter } from './test/summary-reporter.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    expect: { poll: { timeout: 60_000 } },
    maxWorkers: 2,
    globalSetup: 'test/temp-root.ts',
    reporters: ['default', summaryReporter()],
  },
});
