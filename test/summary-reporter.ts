import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** What a whole run came to, counted in individual tests. */
interface Totals {
  passed: number;
  failed: number;
  skipped: { name: string; reason: string | undefined }[];
}

/**
 * Ends the output of every test run with the tests that were skipped, each by its name and reason, and with one line
 * that a script can read: `N passed, N failed, N skipped`. What fails outside a test (a file that does not load, a hook,
 * an unhandled rejection) counts as one failure.
 */
export function summaryReporter(): Reporter {
  let report = '0 passed, 1 failed, 0 skipped';
  let filtered = false;
  return {
    onInit(vitest) {
      filtered = vitest.config.testNamePattern !== undefined;
      // The default reporter and vitest's own farewell print after onTestRunEnd: only at exit is our line the last.
      process.once('exit', () => process.stdout.write(`\n${report}\n`));
    },
    onTestRunEnd(modules, unhandledErrors) {
      const totals = count(modules, unhandledErrors.length);
      report = [...(filtered ? [] : skippedLines(totals)), totalsLine(totals)].join('\n');
    },
  };
}

function count(modules: readonly TestModule[], unhandledErrorCount: number): Totals {
  const totals: Totals = { passed: 0, failed: unhandledErrorCount, skipped: [] };
  for (const module of modules) {
    totals.failed += module.errors().length;
    for (const suite of module.children.allSuites()) totals.failed += suite.errors().length;
    for (const test of module.children.allTests()) countTest(test, module, totals);
  }
  return totals;
}

function countTest(test: TestCase, module: TestModule, totals: Totals): void {
  const result = test.result();
  if (result.state === 'passed') totals.passed += 1;
  else if (result.state === 'skipped') {
    const name = `${module.relativeModuleId} > ${test.fullName}`;
    totals.skipped.push({ name, reason: result.note });
  } else totals.failed += 1; // 'pending' too: a test that never ended did not pass
}

function skippedLines({ skipped }: Totals): string[] {
  if (skipped.length === 0) return [];
  return ['Skipped:', ...skipped.map(({ name, reason }) => `  ${name}${reason ? `: ${reason}` : ''}`)];
}

function totalsLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
}
