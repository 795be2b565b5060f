"""Record what the running kernel's advisor makes of pages_to_scan: python tests/policies/ksmd/record_ksm_advisor.py > ksm-advisor.jsonl

Root only; takes two minutes and 300 MB. ksmd is borrowed and stepped with chosen pauses between its wake-ups; after each full scan
a line is written: the knobs, what the tracepoint ksm_advisor said, pages_to_scan before and after, and the clock.
"""

import contextlib
import json
import os
import random
import sys
import time

import numpy as np

from pksm.hosts.machine.content import pages_of
from pksm.linux.ksm import Borrowed, files
from pksm.linux.proc import tasks
from pksm.validation.kernel.live_process import LiveProcess

INSTANCE = "/sys/kernel/tracing/instances/pksm-advisor"
BASE = 0x7000_0000_0000
CALM = {"advisor_max_cpu": 70, "advisor_min_pages_to_scan": 100, "advisor_max_pages_to_scan": 30000}
BUSY = {"advisor_max_cpu": 70, "advisor_min_pages_to_scan": 20_000_000, "advisor_max_pages_to_scan": 100_000_000}
SERIES = [  # name, pages, knobs, full scans, their length in s: from, to; target times in s: from, to
    ("switched-on-in-a-scan", 100, CALM | {"advisor_min_pages_to_scan": 40}, 3, 0.2, 0.2, 5, 5),
    ("busy", 70000, BUSY, 16, 1.0, 4.5, 1, 3),
    ("cpu-limit", 70000, BUSY | {"advisor_max_cpu": 14}, 6, 1.2, 3.0, 1, 1),
    ("cpu-limit-below-10", 20000, BUSY | {"advisor_max_cpu": 3}, 3, 1.2, 2.0, 1, 1),
    ("idle", 1000, CALM, 4, 2.5, 4.0, 3, 3),
    ("at-most", 700, CALM | {"advisor_max_pages_to_scan": 170}, 3, 1.5, 2.5, 1, 1),
    ("one-wake-up", 50, CALM, 3, 2.2, 2.2, 2, 2),
]  # fmt: skip


@contextlib.contextmanager
def tracepoint():
    """Yield a function that returns what the tracepoint has said since: (scan_time, pages_to_scan, cpu percent)s."""
    os.mkdir(INSTANCE)
    try:
        with open(f"{INSTANCE}/events/ksm/ksm_advisor/enable", "w", encoding="ascii") as enable:
            enable.write("1")
        said = 0

        def news():
            nonlocal said
            with open(f"{INSTANCE}/trace", encoding="ascii") as trace:
                lines = [line.split() for line in trace if "ksm_advisor:" in line]
            lines, said = lines[said:], len(lines)
            return [(int(line[-6]), int(line[-4]), int(line[-1])) for line in lines]

        yield news
    finally:
        os.rmdir(INSTANCE)


def series(ksm, news, name, n, knobs, scans, shortest, longest, soonest, latest, out):
    """Let ksmd make full scans of n pages under these knobs; write a line for each."""
    rng, thread = random.Random(name), files.thread()
    ksm.reset(smart_scan=0)
    process = LiveProcess()
    process.mmap(BASE, n)
    process.write(BASE, np.ascontiguousarray(pages_of(np.arange(1, n + 1), 4096)))
    if name == "switched-on-in-a-scan":
        ksm.scan_pages(n // 3)
    ksm.set(**knobs, advisor_mode="scan-time")
    done, begun = ksm.counters()["full_scans"], None
    start, end, target = time.monotonic(), 0.0, 0
    while scans:
        if begun is None:
            length, target = rng.uniform(shortest, longest), rng.randint(soonest, latest)
            ksm.set(advisor_target_scan_time=target)
        before = files.read("pages_to_scan")
        ksm._once()
        now = time.monotonic() - start
        begun = now if begun is None else begun
        full = ksm.counters()["full_scans"]
        if full != done:
            ((scan_time, told, cpu_percent),) = news()
            line = {
                "series": name, "pages": n, **knobs, "advisor_target_scan_time": target, "pages_to_scan": before,
                "scan_time": scan_time, "cpu_percent": cpu_percent, "told": told,
                "then": files.read("pages_to_scan"),
                "first_wake_ms": round(begun * 1000), "last_wake_ms": round(now * 1000), "end_before_ms": round(end * 1000),
                "ksmd_cpu_ms": round(tasks.cpu_seconds(thread) * 1000),
            }  # fmt: skip
            out.write(json.dumps(line) + "\n")
            out.flush()
            done, begun, end, scans = full, None, now, scans - 1
        time.sleep(min(length, length * before / n))
    process.exit()


def main():
    with Borrowed() as ksm, tracepoint() as news:
        for row in SERIES:
            series(ksm, news, *row, sys.stdout)


if __name__ == "__main__":
    main()
