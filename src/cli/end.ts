/** How often a command that has ended looks whether its output is out. */
const LOOK_MS = 2000;
/** After so many looks a call into a file system is not slow any more, it hangs. */
const PATIENT_LOOKS = 15;
const SIGNALS: Readonly<Record<number, NodeJS.Signals>> = { 130: 'SIGINT', 143: 'SIGTERM' };

/**
 * A call into a mount that hangs would keep the process alive for ever, though the command has ended: once what was
 * written is out, nothing is waited for. The timer alone keeps nothing alive.
 */
export function endWhenWritten(): void {
  let looks = 0;
  setInterval(() => {
    looks++;
    if (process.stdout.writableLength > 0 || process.stderr.writableLength > 0) return;
    if (looks >= PATIENT_LOOKS || !isInFileSystem() || endSignal() !== undefined) endNow();
  }, LOOK_MS).unref();
}

/**
 * Ends the process with `process.exitCode`. At its exit Node joins the threads of libuv's pool (uv_library_shutdown),
 * and with them waits for a call into a file system that hangs: then only a signal ends it, and the exit status is
 * the signal's (128 and its number in a shell), for SIGINT and SIGTERM the documented one.
 */
export function endNow(): void {
  if (!isInFileSystem()) process.exit();
  const signal = endSignal();
  if (signal === undefined)
    process.stderr.write('error: a file system does not answer, and the process is killed for it\n');
  else process.removeAllListeners(signal);
  process.kill(process.pid, signal ?? 'SIGKILL');
}

function endSignal(): NodeJS.Signals | undefined {
  return SIGNALS[Number(process.exitCode)];
}

function isInFileSystem(): boolean {
  return process.getActiveResourcesInfo().some((resource) => resource.startsWith('FSReq'));
}
