"""How processes that were stopped go on, by the guard or by pksm itself.

The guard runs this file by path, so it imports the standard library only.
"""

import contextlib
import os
import signal
from collections.abc import Callable

DASH = "-"


def prepare(record: str, *fds: str) -> Callable[[], bool]:
    """Return a function that lets all go on and removes the record; it returns True.

    Args:
        record: the path of the record of what is stopped; empty when there is none.
        fds: descriptors of cgroup.freeze files, DASH, and pidfds.
    """
    dash = fds.index(DASH)
    files, pidfds = [int(fd) for fd in fds[:dash]], [int(fd) for fd in fds[dash + 1 :]]

    def give_back() -> bool:
        for file in files:
            with contextlib.suppress(OSError):
                os.write(file, b"0")
        for pidfd in pidfds:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        if record:
            with contextlib.suppress(OSError):
                os.unlink(record)
        return True

    return give_back
