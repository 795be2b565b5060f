"""Measures what the engine must reach and aims at on one host of pages mapped once each, and says whether it does.

Sections: merge, content, small (memory on small pages), threads, idle, scan. All of them take some minutes and 6 GiB.
The figures are for 1,048,576 pages and a machine that does nothing else; each is a median, of CPU time where not said
otherwise, and every answer is checked.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import scan_image

from pksm import bench, checksums
from pksm.errors import PksmError, UsageError
from pksm.report import columns
from pksm.yardsticks import Ground, checksum_job, ksm_job, limits, table_job

LOADS = ("f", "a", "b", "e", "p")
SMALL_PAGES, SMALL_BATCH = 65536, 100
# load -> (must, aim), M pages a second
MERGE = {"f": (1.4, 2.0), "a": (2.0, 2.9), "b": (1.2, 1.7), "e": (1.8, 2.6), "p": (1.8, 2.7)}
MERGE_SMALL = {"f": (0.8, 1.2), "b": (0.8, 1.2), "a": (1.4, 2.2), "e": (1.4, 2.2), "p": (1.4, 2.2)}
OVER_TWIN = {"e": (3, 5), "p": (3, 5), "a": (1.5, 2.5), "b": (1.5, 2.5), "f": (1.5, 2.5)}
IDLE_WAKES = 2000
DEFAULT_PERIOD_SECONDS = 10


@dataclass
class Finding:
    """One line of the report. more: the more the better."""

    what: str
    unit: str
    must: float
    aim: float
    more: bool
    value: float
    remark: str = ""

    def verdict(self):
        """Return `aim`, `must`, or by how much it falls short of what it must reach."""
        if self._reaches(self.aim):
            return "aim"
        if self._reaches(self.must):
            return "must"
        short = 1 - self.value / self.must if self.more else self.value / self.must - 1
        return f"SHORT by {100 * short:.0f} %"

    def _reaches(self, target):
        return self.value >= target if self.more else self.value <= target


def one_row(job, repeats):
    return bench.measure([job], repeats)[0]


def by_name(rows):
    """Return rows as {(engine, order, batch, pages): row}."""
    return {(row["engine"], row["order"], row["batch"], row["pages"]): row for row in rows}


def merging(options, note):
    """First pass and merge to rest: big and small batches, over the read, growth; metadata."""
    with bench.pinned():
        ground, small = Ground(options.pages), Ground(min(SMALL_PAGES, options.pages))
        growth = {}
        for load in options.loads:
            ground.fill(load)
            small.fill(load)
            big, little = bench.settings(), bench.settings(batch=SMALL_BATCH)
            jobs = [
                limits(ground)[0],
                checksum_job(ground),
                table_job(ground),
                bench.settle_job(ground, big),
                bench.pksmd_job(ground, big),
                bench.pksmd_job(ground, little),
                bench.pksmd_job(small, big),
            ]
            rows = bench.measure(jobs, options.repeats)
            note.rows += rows
            row = by_name(rows)
            order, read = big.order, row["read", None, None, options.pages]
            whole = row["pksmd", order, bench.BATCH, options.pages]
            by_hundreds = row["pksmd", order, SMALL_BATCH, options.pages]
            in_c = row["settle in C", order, bench.BATCH, options.pages]
            table, summed = (row[name, None, None, options.pages] for name in ("hash table", "checksum"))
            remark = (
                f"{whole['ns_per_page']:.0f} ns a page: {in_c['ns_per_page']:.0f} in C, checksum {summed['ns_per_page']:.0f}, "
                f"read {read['ns_per_page']:.0f}; hash table {table['ns_per_page']:.0f}"
            )
            note(f"merge to rest, load {load}", "M pages/s", *MERGE[load], True, millions(whole), remark)
            note(f"the same in wake-ups of {SMALL_BATCH}", "M pages/s", *MERGE_SMALL[load], True, millions(by_hundreds))
            if load == "a":
                note("load a over a sequential read", "x", 4, 2.5, False, whole["ns_per_page"] / read["ns_per_page"])
            before = row["pksmd", order, bench.BATCH, len(small.pages)]["ns_per_page"]
            growth[load] = whole["ns_per_page"] / before
            job = bench.pksmd_job(ground, big)
            _, pksmd = job.work(job.prepare())
            remark = f"load {load}, at rest; the host keeps {bench_host_bytes(job):.0f} more" if False else f"load {load}"
            note("metadata", "bytes a page", 64, 48, False, pksmd.metadata_bytes / options.pages, remark)
        worst = max(growth, key=growth.get)
        told = ", ".join(f"{load} {ratio:.2f}" for load, ratio in growth.items())
        note(f"growth, {len(small.pages):,} to {options.pages:,} pages", "x", 1.7, 1.3, False, growth[worst], told)
