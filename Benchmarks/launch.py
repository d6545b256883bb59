"""Runs a program to its end and tells its time, memory and status in JSON, on the descriptor that is given first.

A process of its own, and a small one: on Linux the peak memory of a program is at least that of the process that starts
it, and what measures here has torch loaded.
"""

import json
import os
import sys
import time

report = int(sys.argv[1])
os.set_inheritable(report, False)
start = time.perf_counter()
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
seconds = time.perf_counter() - start
unit = 1 if sys.platform == "darwin" else 1024
facts = [os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss * unit, usage.ru_utime, usage.ru_stime]
os.write(report, json.dumps(facts).encode())
