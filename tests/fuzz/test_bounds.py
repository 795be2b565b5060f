"""The oracle: what it lets pass, and what it does not."""

import time

import numpy as np
import pytest

from fuzz.bounds import MEMORY_BYTES, BoundError, attempt, cpu_bound, memory_bound
from pksm.errors import PksmError, UsageError


def raising(error):
    def run(data):
        raise error

    return run


def test_one_line_of_ours_passes():
    attempt(raising(PksmError("x: is damaged; copy it again")), b"")
    attempt(raising(UsageError("must be a number", "n")), b"")
    attempt(len, b"abc")


def test_newlines_in_what_an_error_quotes_are_escapes():
    attempt(raising(PksmError("a\nb\rc")), b"")
    assert str(PksmError("a\nb\rc")) == "a\\nb\\rc"
    assert str(UsageError("no\n", "n")) == "n: no\\n"


class Lines(PksmError):
    def __str__(self):
        return "two\nlines"


@pytest.mark.parametrize(
    "error", [Lines(), PksmError(""), TypeError("x"), MemoryError(), AssertionError(), OSError(5, "x")]
)
def test_anything_else_does_not(error):
    with pytest.raises(AssertionError if isinstance(error, PksmError) else type(error)):
        attempt(raising(error), b"")


def test_a_bomb_does_not():
    def bomb(data):
        np.ones(2 * MEMORY_BYTES, np.uint8)

    with pytest.raises(BoundError, match=r"^3 bytes took 1\d\d MiB of memory: over 64 MiB$"):
        attempt(bomb, b"abc")


def test_memory_of_the_first_time_alone_passes():
    loaded = []

    def load(data):
        if not loaded:
            loaded.append(np.ones(2 * MEMORY_BYTES, np.uint8))

    attempt(load, b"")
    assert loaded


def test_endless_work_does_not():
    def work(data):
        end = time.process_time() + cpu_bound(len(data)) + 0.05
        while time.process_time() < end:
            pass

    with pytest.raises(BoundError, match="of CPU: over 1.0 s"):
        attempt(work, b"")


def test_larger_inputs_may_take_more():
    assert memory_bound(1 << 20) == memory_bound(0) + (256 << 20)
    assert cpu_bound(1 << 20) == cpu_bound(0) + 16
