"""Runs a command and writes what its whole process tree cost, as JSON: python3 measure.py RESULT COMMAND ARGUMENT...

CPU time is that of the command and of every descendant that was waited for. The peak is that of the largest single
process among them, as the kernel keeps it (getrusage(2)). Node cannot measure this: it has no wait4, and a child of a
large process inherits the peak that its parent had before exec.
"""

import json
import os
import sys
import time

result_path, command = sys.argv[1], sys.argv[2:]
started = time.monotonic()
pid = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(pid, 0)
wall = time.monotonic() - started
with open(result_path, "w") as out:
    json.dump(
        {
            "status": os.waitstatus_to_exitcode(status),
            "wallS": wall,
            "cpuS": usage.ru_utime + usage.ru_stime,
            "userS": usage.ru_utime,
            "rssBytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        },
        out,
    )
