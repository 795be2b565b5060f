"""Runs a command without its stdout and prints what it took as JSON: exit code, seconds of CPU, KiB of memory at most.

`python measured.py COMMAND...`. The kernel lets a process begin with the most memory of the one that started it: a test
runner is large, this one is small.
"""

import json
import os
import sys

command = sys.argv[1:]
silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
_, status, usage = os.wait4(os.posix_spawn(command[0], command, os.environ, file_actions=silent), 0)
print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
