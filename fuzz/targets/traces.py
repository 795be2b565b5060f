"""Traces, which are also played, and recordings of kernels, which are also replayed."""

import functools
import json
import os

from fuzz.target import Target, one_of
from pksm.errors import PksmError
from pksm.hosts.machine import Machine
from pksm.policies import registry
from pksm.simulation import Event, Simulation, read_trace
from pksm.validation.recorded.traces import read_traces, replay

FRAMES = 600  # one huge page, and some
PAGE = 512
# What is played: the rest of a trace may ask for much and get it. The sizes of its arrays are those of its lines.
MOST_MS, MOST_PAGES, MOST_EVENTS = 200, 1 << 12, 64
POLICIES = ("pksmd:fixed", "pksmd:reveriel", "ksmd:ksm-6.11", "nobody")
# What of a recording is replayed.
MOST_ROUNDS, MOST_OPERATIONS, MOST_WAKES = 3, 40, 20


@functools.cache
def _descriptor() -> int:
    return os.memfd_create("trace")


def as_file(data: bytes) -> str:
    """Write an input to a file and return its path."""
    fd = _descriptor()
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)
    return f"/proc/self/fd/{fd}"


def play(data: bytes) -> None:
    """Read a trace and play it, on a small machine with one of the policies, which comes out whole."""
    events = []
    try:
        for event in read_trace(as_file(data)):
            if event.op == "until_rest" or (event.ms or 0) > MOST_MS:
                break
            if all(_is_small(event, name, value) for name, value in event.fields.items()):
                events.append(event)
    finally:
        _play(events[:MOST_EVENTS], one_of(POLICIES, data))


def _is_small(event: Event, name: str, value) -> bool:
    """Return whether playing an event takes little, as far as this field goes."""
    if name in ("n", "new_n", "first"):
        return value <= MOST_PAGES
    if event.op == "wait" and name == "ms":
        return value <= MOST_MS
    return event.op != "set"


def _play(events: list[Event], policy: str) -> None:
    machine = Machine(FRAMES, PAGE)
    simulation = Simulation(machine, registry.make(policy, machine))
    for event in events:
        try:
            simulation.play([event])
        except PksmError as error:
            assert "\n" not in str(error), repr(error)
    simulation.run(simulation.now + MOST_MS)
    machine.check()


def read_recordings(data: bytes) -> None:
    """Read recordings of kernels and replay them, as far as they are short."""
    for trace in read_traces(as_file(data)):
        rounds = trace["rounds"]
        short = len(rounds) <= MOST_ROUNDS and all(
            len(round["ops"]) <= MOST_OPERATIONS and round["wakeups_est"] <= MOST_WAKES for round in rounds
        )
        if short:
            replay(trace)


# ---- seeds ----


def trace_of(*rows: dict) -> bytes:
    """Return lines of JSON."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def traces() -> list[bytes]:
    """Make traces that have every operation."""
    a = {"process": "a"}
    x = {"process": "a", "address": "x"}
    return [
        trace_of(
            {"op": "spawn", **a},
            {"op": "mmap", **a, "n": 40, "name": "x", "mergeable": True},
            {"op": "write", **x, "n": 8, "content": {"base": 1, "mod": 2}, "patches": [[0, 1, 7]]},
            {"t": 5, "op": "fork", **a, "child": "b"},
            {"op": "write", **x, "first": 2, "content": [1, 1, 0], "n": 3},
            {"op": "patch", **x, "patches": [[1, 2, 3]]},
            {"op": "mlock", **x, "n": 2},
            {"t": 40, "op": "read", "label": "l"},
            {"op": "munlock", **x, "n": 1},
            {"op": "wait", "ms": 20},
            {"op": "exit", "process": "b"},
            {"op": "munmap", **x, "n": 3},
        ),
        trace_of(
            {"op": "spawn", **a},
            {"op": "mmap", **a, "n": 512, "address": "0x200000", "name": "x"},
            {"op": "thp_fault", **x},
            {"op": "thp_split", **x},
            {"op": "pin", **x, "name": "p", "n": 2},
            {"op": "lock_page", **x, "name": "k"},
            {"op": "swap_out", **x, "first": 8, "n": 4},
            {"op": "swap_in", **x, "first": 8, "n": 2},
            {"op": "migrate", **x, "first": 20, "n": 4},
            {"op": "unpin", "name": "p"},
            {"op": "unlock_page", "name": "k"},
            {"op": "madvise", **x, "n": 8, "advice": "MERGEABLE"},
            {"op": "madvise", **x, "n": 2, "advice": "DONTNEED"},
            {"op": "mprotect", **x, "n": 2, "writable": False},
            {"op": "mremap", **x, "first": 4, "n": 4, "new_n": 8, "to": "0x7f0000000000"},
            {"op": "touch", **x, "first": 30, "writing": True},
            {"op": "drain"},
        ),
    ]


def recordings() -> list[bytes]:
    """Make a recording with every operation."""
    counters = dict.fromkeys(
        "pages_shared pages_sharing pages_zero_sharing pages_unshared stable_nodes rmap_items".split(), 0
    )
    ops = [["mmap", 0, 0, 4], ["fill", 0, 0, 0, 4, {"list": [1, 1, 2, 2]}], ["fork", 0, 1], ["zero", 0, 0, 1, 1],
           ["patch", 1, 0, 1, 9, 3], ["read", 1, 0, 0, 2], ["mprotect", 0, 0, 0, 1, "ro"], ["mlock", 0, 0, 1, 1],
           ["dontneed", 0, 0, 2, 1], ["munmap", 1, 0, 0, 1], ["exit", 1]]  # fmt: skip
    one = {
        "ops": ops,
        "before_scan": counters,
        "frames_before": 4,
        "read": counters,
        "frames_total": 2,
        "wakeups_est": 9,
    }
    trace = {"kernel": "K1", "id": "one", "tunables": {"pages_to_scan": 100}, "sampled_words": [3, 7, 30],
             "baseline_raw": {"pages_unshared": 2}, "rounds": [one]}  # fmt: skip
    return [trace_of(trace), trace_of(trace | {"kernel": "K2", "rounds": []})]


WORDS = [b'"op":', b'"t":', b'"address":', b'"content":', b'"0x', b"null", b"true", b"[", b"]", b"{", b"}", b"1e9", b"-1",
         b"140737488355327", b"18446744073709551616", b'"\\ud800"', b'"first":', b'"n":', b'"process":', b"\n"]  # fmt: skip
OPERATIONS = [
    b"munlock",
    b"mremap",
    b"swap_out",
    b"swap_in",
    b"migrate",
    b"thp_fault",
    b"thp_split",
    b"lock_page",
    b"pin",
]

TARGETS = {
    "trace": Target(play, traces, [*WORDS, *OPERATIONS], 4096),
    "truth": Target(read_recordings, recordings, [*WORDS, b'"wakeups_est":', b'"list":', b'"base":', b'"fill"'], 4096),
}
