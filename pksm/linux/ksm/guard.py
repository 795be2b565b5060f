"""The program that gives ksmd back: it waits until its input ends, with the borrower or by its will, and puts all back.

It is run by path in an isolated interpreter, so it imports the standard library only. Arguments: KSM's directory, and
the record of the old values, which it removes when all is as it was.
"""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable

READY = b"+"
SECONDS = 30.0  # for the kernel to unmerge what is merged
# A control group that is killed as a whole, with the borrower in it, shall not take the guard along.
TOP_GROUPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")


def put_back(directory: str, values: Iterable[tuple[str, str]], seconds: float = SECONDS) -> list[str]:
    """Unmerge everything, then set knobs.

    Args:
        directory: where KSM's files are.
        values: (name, value) in the order in which the kernel takes them.
        seconds: how long to try what the kernel refuses.

    Returns:
        The names of the knobs that could not be set.
    """
    refused, end = [], time.monotonic() + seconds
    for name, value in [("run", "2"), ("sleep_millisecs", "0"), *values]:
        while True:
            try:
                with open(os.path.join(directory, name), "w", encoding="ascii") as knob:
                    knob.write(value)
                break
            except OSError:
                if time.monotonic() > end:
                    refused.append(name)
                    break
                time.sleep(0.05)
    return refused


def values_of(record: str) -> list[tuple[str, str]]:
    """Return the (name, value) pairs of a record."""
    with open(record, encoding="ascii") as file:
        return [(str(name), str(value)) for name, value in json.load(file)["values"]]


def main(directory: str, record: str) -> int:
    """Wait for the end of our input, put all back, and return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    for group in TOP_GROUPS:
        with contextlib.suppress(OSError), open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as members:
            members.write("0")
    values = values_of(record)
    with contextlib.suppress(OSError):  # the borrower may be dead already
        os.write(1, READY)
    sys.stdin.buffer.read()
    if put_back(directory, values):
        return 1
    os.unlink(record)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
