"""Measures what parts of the engine must reach, and what they aim at: batches, trees, sums, reading, the machine.

All sections together take some minutes and 6 GiB. The targets are meant for 1,048,576 pages and a machine that does
nothing else. Figures are medians, of CPU time where not said otherwise; every answer is checked.
"""

import argparse
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import live_reading
import machine_targets
import scan_image
from one_line import one_line
from storing import store

from pksm.bench import engine_jobs
from pksm.bench.measuring import measure
from pksm.bench.run import machine
from pksm.bench.yardsticks import Ground, checksum_job, ksm_job, limits, table_job
from pksm.errors import UsageError
from pksm.linux import system

LOADS = ("f", "a", "b", "e", "p")
FEW_PAGES, SMALL_BATCH = 65536, 100
# (must, aim) by load
MERGE = {"f": (1.4, 2.0), "a": (2.0, 2.9), "b": (1.2, 1.7), "e": (1.8, 2.6), "p": (1.8, 2.7)}
MERGE_BY_HUNDREDS = {"f": (0.8, 1.2), "b": (0.8, 1.2), "a": (1.4, 2.2), "e": (1.4, 2.2), "p": (1.4, 2.2)}
OVER_TWIN = {"e": (3, 5), "p": (3, 5), "a": (1.5, 2.5), "b": (1.5, 2.5), "f": (1.5, 2.5)}
IDLE_WAKES, IDLE_GROUPS = 100, 20
PERIOD_SECONDS = 10  # of the recheck, by default


@dataclass
class Finding:
    """A figure and its targets. more: the more the better."""

    what: str
    unit: str
    must: float
    aim: float
    more: bool
    value: float
    remark: str

    @property
    def verdict(self):
        if self._reaches(self.aim):
            return "aim"
        if self._reaches(self.must):
            return "must"
        short = 1 - self.value / self.must if self.more else self.value / self.must - 1
        return f"short by {100 * short:.0f} %"

    def _reaches(self, target):
        return self.value >= target if self.more else self.value <= target


@dataclass
class Findings:
    """All figures so far, and the rows they come from."""

    options: argparse.Namespace
    found: list = field(default_factory=list)
    rows: list = field(default_factory=list)

    def at_least(self, what, unit, targets, value, remark=""):
        self._add(Finding(what, unit, *targets, True, value, remark))

    def at_most(self, what, unit, targets, value, remark=""):
        self._add(Finding(what, unit, *targets, False, value, remark))

    def _add(self, finding):
        self.found.append(finding)
        print(line(finding), flush=True)

    def measure(self, jobs, repeats=None):
        """Measure jobs in turn and return their rows without those of steps."""
        rows = measure(jobs, repeats or self.options.repeats)
        self.rows += rows
        return [row for row in rows if ": " not in row["engine"]]


def line(finding):
    sign = ">=" if finding.more else "<="
    targets = f"must {sign} {finding.must:g}, aim {sign} {finding.aim:g}"
    value = f"{finding.value:8.2f} {finding.unit:10}"
    return f"{finding.verdict:14} {finding.what:48} {value} {targets:27} {finding.remark}".rstrip()


def millions(row):
    return row["pages_per_cpu_s"] / 1e6


def merging(findings):
    """First pass and merge to rest: in big batches, by hundreds, over the read; growth; metadata."""
    options, growth, metadata = findings.options, {}, {}
    big, little = engine_jobs.settings(), engine_jobs.settings(batch=SMALL_BATCH)
    with system.pinned():
        ground, few = Ground(options.pages), Ground(min(FEW_PAGES, options.pages))
        for load in options.loads:
            ground.fill(load)
            few.fill(load)
            whole_job = engine_jobs.pksmd_job(ground, big)
            read, summed, table, in_c, whole, by_hundreds_in_c, by_hundreds, on_few = findings.measure([
                limits(ground)[0],
                checksum_job(ground),
                table_job(ground),
                engine_jobs.settle_job(ground, big),
                whole_job,
                engine_jobs.settle_job(ground, little),
                engine_jobs.pksmd_job(ground, little),
                engine_jobs.pksmd_job(few, big),
            ])  # fmt: skip
            parts = {"in C": in_c, "checksum": summed, "read": read, "hash table": table}
            remark = ", ".join(f"{name} {row['ns_per_page']:.0f}" for name, row in parts.items())
            remark = f"{whole['ns_per_page']:.0f} ns per page; {remark}"
            what = f"load {load}, first pass and merge to rest"
            findings.at_least(what, "M pages/s", MERGE[load], millions(whole), remark)
            what = f"load {load}, in wake-ups of {SMALL_BATCH} pages"
            remark = f"{by_hundreds['ns_per_page']:.0f} ns per page; in C {by_hundreds_in_c['ns_per_page']:.0f}"
            findings.at_least(what, "M pages/s", MERGE_BY_HUNDREDS[load], millions(by_hundreds), remark)
            if load == "a":
                ratio = whole["ns_per_page"] / read["ns_per_page"]
                findings.at_most("load a, over a sequential read", "x", (4, 2.5), ratio)
            growth[load] = whole["ns_per_page"] / on_few["ns_per_page"]
            _, pksmd = whole_job.work(whole_job.prepare())
            metadata[load] = pksmd.engine_bytes / options.pages
    what = f"growth of ns per page, {len(few.pages):,} to {options.pages:,}"
    findings.at_most(what, "x", (1.7, 1.3), max(growth.values()), told(growth))
    findings.at_most("metadata", "bytes/page", (64, 48), max(metadata.values()), told(metadata))


def told(by_load):
    return ", ".join(f"{load} {value:.2f}" for load, value in by_load.items())


def content(findings):
    """Order content, KSM's: time a page, and over KSM's one-at-a-time twin."""
    options, by_content = findings.options, engine_jobs.settings("content")
    times = {}
    with system.pinned():
        ground = Ground(options.pages)
        for load in options.loads:
            ground.fill(load)
            [engine] = findings.measure([engine_jobs.pksmd_job(ground, by_content)])
            [twin] = findings.measure([ksm_job(ground)], 1)
            times[load] = engine["ns_per_page"] / 1e3
            ratio = twin["ns_per_page"] / engine["ns_per_page"]
            remark = f"twin {twin['ns_per_page']:.0f} ns per page, ours {engine['ns_per_page']:.0f}"
            findings.at_least(f"load {load}, order content over the twin", "x", OVER_TWIN[load], ratio, remark)
    findings.at_most("order content", "us a page", (2, 1), max(times.values()), told(times))


def checksum_pass(findings):
    """The checksum pass alone, ascending: memory on small pages and on huge ones; a second thread."""
    pages = min(findings.options.pages, 1 << 18)
    with system.pinned():
        for huge, name, targets in ((False, "4 KiB", (2.5, 3.5)), (True, "huge", (4, 6))):
            before = huge_kib()
            ground = Ground(pages, huge=huge)
            ground.fill("a")
            read, summed = findings.measure([limits(ground)[0], checksum_job(ground)])
            remark = f"{(huge_kib() - before) >> 10} MiB on huge pages; read {read['ns_per_page']:.0f} ns per page"
            findings.at_least(f"checksum pass, {name} pages", "M pages/s", targets, millions(summed), remark)
            read_ns = read["ns_per_page"]
    for name, targets in (("xxh3-64", (1.1, 1.3)), ("jhash2", (1.7, 1.9))):
        one, two = findings.measure([checksum_job(ground, name), checksum_job(ground, name, threads=2)])
        alone, together = (1e9 * row["cpu_s"] / pages for row in (one, two))
        remark = f"wall time, {len(os.sched_getaffinity(0))} CPUs; CPU ns per page {alone:.0f}, with two {together:.0f}"
        remark += f" (of themselves, without others in their way, {2 * alone / together:.2f} x); read {read_ns:.0f}"
        findings.at_least(f"second thread, checksum pass {name}", "x", targets, one["wall_s"] / two["wall_s"], remark)


def huge_kib():
    return system.own_huge_bytes() >> 10


def idle(findings):
    """A wake-up with nothing to do; with the recheck too, whose quota costs what its pages cost."""
    options = findings.options
    with system.pinned():
        ground = Ground(options.pages)
        ground.fill("a")
        job = engine_jobs.pksmd_job(ground, engine_jobs.settings())
        _, pksmd = job.work(job.prepare())
        alone = wake_us(pksmd, IDLE_WAKES)
        pksmd.tunables = pksmd.tunables.with_(period_seconds=PERIOD_SECONDS)
        pksmd.wake()  # works off what the long period has left over
        hashed = pksmd.cost.bytes_hashed
        rechecking = wake_us(pksmd, 1)
        quota = (pksmd.cost.bytes_hashed - hashed) / IDLE_GROUPS / ground.store.page_size
        each_ns = 1e3 * (rechecking - alone) / quota if quota else 0
        remark = f"with the recheck of {quota:.0f} pages {rechecking:.0f} us, {each_ns:.0f} ns each"
        findings.at_most(f"wake-up of an idle daemon, {options.pages:,} pages", "us", (200, 50), alone, remark)


def wake_us(pksmd, wakes):
    """Return the CPU time of a wake-up, the median of groups of so many."""
    times = []
    for _ in range(IDLE_GROUPS):
        began = time.process_time()
        for _ in range(wakes):
            pksmd.wake()
        times.append((time.process_time() - began) / wakes * 1e6)
    return median(times)


def scan(findings):
    """pksm scan of an image in the page cache, on one CPU."""
    options = findings.options
    runs = scan_image.measure(options.pages, repeats=options.repeats, directory=options.directory)
    most = max(run["rss_anon_kib"] for run in runs) / 1024
    cpu_s, disk = median(run["cpu_s"] for run in runs), max(run["disk_blocks"] for run in runs)
    what = f"pksm scan of {options.pages * 4096 / (1 << 30):g} GiB"
    remark = f"CPU time {cpu_s:.2f} s, {disk} blocks from disk"
    findings.at_most(f"{what}, wall time", "s", (3.5, 2.5), median(run["wall_s"] for run in runs), remark)
    findings.at_most(f"{what}, RssAnon", "MiB", (300, 150), most)


def live(findings):
    """Reading a live process, over process_vm_readv alone."""
    options = findings.options
    pages = min(options.pages, 1 << 18)
    for how in ("asleep", "running"):
        run = live_reading.measure(pages, how, repeats=options.repeats)
        remark = f"{run['live_ns']:.0f} ns per page, alone {run['alone_ns']:.0f}"
        what = f"reading a process that is {how}, over readv alone"
        findings.at_least(what, "x", (0.6, 0.8), run["ratio"], remark)


def simulated(findings):
    """pksmd on the simulated machine, and the machine's own operations; no more than machine_targets.PAGES there."""
    pages = min(findings.options.pages, machine_targets.PAGES)
    with system.pinned():
        machine_targets.over_flat(findings, pages)
        machine_targets.operations(findings, pages)
        machine_targets.idle(findings, findings.options.pages, lambda pksmd: wake_us(pksmd, IDLE_WAKES))


SECTIONS = {
    "merge": merging,
    "content": content,
    "checksum": checksum_pass,
    "idle": idle,
    "scan": scan,
    "live": live,
    "machine": simulated,
}


def parse(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/part_targets.py", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--pages", type=int, default=1 << 20, help="pages of each load (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each row, for the median (%(default)s)")
    parser.add_argument("--loads", default=",".join(LOADS), help="those to merge, with commas between (%(default)s)")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas between (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where the image to scan may lie (the system's temporary files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also store findings and rows")
    options = parser.parse_args(argv)
    options.loads, options.only = options.loads.split(","), options.only.split(",")
    for name, known in [*((load, LOADS) for load in options.loads), *((part, SECTIONS) for part in options.only)]:
        if name not in known:
            raise UsageError(f"unknown name {name!r}: choose from {', '.join(known)}")
    if options.pages < 1 or options.repeats < 1:
        raise UsageError("there must be one page and one repeat at least")
    return options


@one_line
def main(argv):
    options = parse(argv)
    findings, where = Findings(options), machine()
    print(", ".join(f"{name} {value}" for name, value in where.items()), flush=True)
    for name in options.only:
        SECTIONS[name](findings)
    if options.json:
        found = [{**asdict(finding), "verdict": finding.verdict} for finding in findings.found]
        document = {"pages": options.pages, "machine": where, "findings": found, "rows": findings.rows}
        store(options.json, document)
    short = [finding for finding in findings.found if finding.verdict.startswith("short")]
    print(f"{len(findings.found)} targets, {len(short)} short of what they must reach")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
