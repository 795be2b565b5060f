"""The program that gives back what pksm has borrowed: when its input ends, as it does with pksm, or when time is up.

It is run by path in an isolated interpreter, so it imports the standard library only. Arguments: the path of a file
that defines prepare(), when time is up (time.monotonic(); inf for never), and what prepare() is called with. See
guarded.py.
"""

import contextlib
import math
import os
import runpy
import select
import signal
import sys
import time

READY = b"+"
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
# A control group that is killed as a whole, with the borrower in it, shall not take the guard along.
TOP_GROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")


def main(program: str, deadline: str, *arguments: str) -> int:
    """Wait for the end of our input or the deadline, give back, and return the exit code."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for group in TOP_GROUPS:
        with contextlib.suppress(OSError), open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as members:
            members.write("0")
    give_back = runpy.run_path(program)["prepare"](*arguments)
    with contextlib.suppress(OSError):  # the borrower may be dead already
        os.write(1, READY)
    end = float(deadline)
    select.select([0], [], [], None if math.isinf(end) else max(0.0, end - time.monotonic()))
    return 0 if give_back() else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
