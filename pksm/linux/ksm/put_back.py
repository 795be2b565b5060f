"""How ksmd's settings are put back, by the guard or by pksm itself.

The guard runs this file by path, so it imports the standard library only.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable

SECONDS = 30.0  # for the kernel to unmerge what is merged


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
    with open(record, "rb") as file:
        return [(str(name), str(value)) for name, value in json.load(file)["values"]]


def prepare(directory: str, record: str) -> Callable[[], bool]:
    """Return a function that puts all back and removes the record; it returns whether the kernel took everything.

    Args:
        directory: where KSM's files are.
        record: the path of the record of the old values.
    """
    values = values_of(record)

    def give_back() -> bool:
        if put_back(directory, values):
            return False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(record)
        return True

    return give_back
