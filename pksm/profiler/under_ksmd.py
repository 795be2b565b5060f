"""What a checksum means for ksmd, whose trees ignore it: it shows which pages have changed since the last visit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from pksm.engine import native
from pksm.engine.checksums import strategies
from pksm.hosts.machine import Machine
from pksm.policies.ksmd import tunables
from pksm.policies.ksmd.daemon import Ksmd

if TYPE_CHECKING:
    from pksm.profiler.subject import Subject


PRESET = "ksm-6.11"
PAGES = 8192  # of the sample, at most
MOST_WAKES = 1000


def measure(subject: Subject, name: str, seed: int = 0) -> dict[str, float]:
    """Return a strategy's row about ksmd run to rest over one process with a part of the sample in it."""
    rows = subject.rows[:PAGES]
    n, distinct = len(rows), _contents(subject, len(rows))
    machine = Machine(2 * n + 64, subject.page_size)
    mm = machine.spawn()
    machine.write(mm, machine.mmap(mm, n, mergeable=True), rows)
    values = tunables.preset(PRESET).with_(pages_to_scan=n, max_page_sharing=0, smart_scan=0)
    daemon = Ksmd(machine, values, checksum=strategies.make(name, subject.page_size, seed))
    wakes, began = 0, time.thread_time_ns()
    while not daemon.at_rest and wakes < MOST_WAKES:
        daemon.wake()
        wakes += 1
    return {
        "ksmd_cpu_ns_to_rest": (time.thread_time_ns() - began) / n,
        "ksmd_full_scans": wakes,
        "ksmd_futile_compares": daemon.cost.futile_compares,
        "ksmd_merges": machine.frames_saved,
        "ksmd_missed_merges": n - distinct - machine.frames_saved,
    }


def _contents(subject: Subject, n: int) -> int:
    """Contents among the first n rows."""
    sums = native.checksum_pages(subject.store.view, native.Checksum("xxh3-64"), subject.row_pages[:n])
    return len(np.unique(sums))
