// Required by a child: says what memory it took at the most, in KiB.
process.on('exit', () => {
  require('node:fs').writeFileSync(process.env.DGUARD_TEST_PEAK, String(process.resourceUsage().maxRSS));
});
