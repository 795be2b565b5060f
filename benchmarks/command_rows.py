"""Targets of whole commands: simulations, scans, many sources, the start, memory, and what the worker costs."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import sandbox
import scan_image
from findings import Target

from pksm.errors import PksmError

# As of an installed pksm: compiled once.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
VIRTUAL_TIME = "60s"
SOURCES, PAGES_EACH = 2000, 16
SMALL_PAGE = 512  # bytes
TARGETS = {
    "simulate-pksmd": Target(f"simulate f, {VIRTUAL_TIME} of virtual time, pksmd: CPU", "s", 28, 20),
    "simulate-ksmd": Target(f"simulate f, {VIRTUAL_TIME} of virtual time, ksmd: CPU", "s", 16, 12),
    "simulate-family": Target("simulate fork-family --policy ksmd: CPU", "s", 16, 8),
    "scan-1": Target("scan of a file in the page cache, one thread: wall", "s", 0.9, 0.75),
    "scan-2": Target("the same, one thread over two: wall", "x", 1.3, 1.7, more=True),
    "sources": Target(f"scan of {SOURCES:,} files of {PAGES_EACH} pages: wall", "s", 1.5, 1.0),
    "start": Target("scan of a tiny file: wall", "s", 0.2, 0.15),
    "rss": Target(f"RssAnon per page of a file, pages of {SMALL_PAGE} bytes", "B", 44, 42),
    "worker-wall": Target("scan with the worker over without: wall", "x", None, None),
    "worker-cpu": Target("scan with the worker over without: CPU", "x", None, None),
}


def command(*words, cpu=None):
    """Run a command of pksm; return (wall, CPU seconds, most KiB of RssAnon, its document)."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    pin = None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            [sys.executable, "-m", "pksm", *map(str, words), "--json"], stdout=out, preexec_fn=pin, env=ENVIRONMENT
        )
        most = 0
        while child.poll() is None:
            most = max(most, scan_image.rss_anon_kib(child.pid))
            time.sleep(scan_image.POLL_S)
        wall = time.perf_counter() - began
        if child.returncode:
            raise PksmError(f"pksm {words[0]} ended with exit code {child.returncode}")
        out.seek(0)
        document = json.load(out)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, spent, most, document


def numpy_alone():
    """Return the wall seconds that an interpreter takes to load numpy and end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import numpy"], env=ENVIRONMENT, check=True)
    return time.perf_counter() - began


def simulating(findings, pages):
    """Simulations in virtual time: what they take in CPU time, user and system."""
    load = ("simulate", "f", "--pages", pages, "--until", VIRTUAL_TIME)
    for name, words in {
        "simulate-pksmd": (*load, "--policy", "pksmd"),
        "simulate-ksmd": (*load, "--policy", "ksmd"),
        "simulate-family": ("simulate", "fork-family", "--policy", "ksmd", "--pages", max(64, pages >> 4)),
    }.items():
        if findings.wants(name):
            findings.add(name, findings.samples(lambda words=words: command(*words)[1]), findings.read())


def scanning(findings, pages, directory):
    """Scans of one image, in the page cache."""
    if not findings.wants("scan-1", "scan-2", "rss", "worker-wall", "worker-cpu"):
        return
    cpu = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        image = Path(scratch, "image")
        load = scan_image.make_image(image, "f", pages)

        def scan(*options, pinned=None):
            wall, spent, most, document = command("scan", image, *options, cpu=pinned)
            if "--page-size" not in options:
                scan_image.check(document, load)
            settling = document["cost"]["steps"]["settle"]["wall_s"]
            return wall, spent, most, document["totals"]["pages"], settling

        scan("--threads", 1)  # all is in the page cache from now on
        if findings.wants("scan-1", "scan-2"):
            pairs = findings.samples(lambda: (scan("--threads", 1, pinned=cpu), scan("--threads", 2)))
            findings.add("scan-1", [one[0] for one, _ in pairs], f"{pages:,} pages; {findings.read()}")
            settling, by_two = (median(run[-1] for run in runs) for runs in zip(*pairs, strict=True))
            rest = median(two[0] - two[-1] for _, two in pairs)
            findings.add(
                "scan-2",
                [one[0] / two[0] for one, two in pairs],
                f"{len(os.sched_getaffinity(0))} CPUs; settling {settling:.2f} s, then {by_two:.2f} s; all else, "
                f"which has one thread, {rest:.2f} s",
            )
        if findings.wants("rss"):
            runs = findings.samples(lambda: scan("--page-size", SMALL_PAGE, "--threads", 1))
            findings.add(
                "rss", [kib * 1024 / n for _, _, kib, n, _ in runs], f"{runs[0][3]:,} pages; {findings.read()}"
            )
        if findings.wants("worker-wall", "worker-cpu"):
            cost = sandbox.measure(["scan", "--threads", "1", "--json", image], findings.repeats)["on_by_off"]
            findings.add("worker-wall", [cost["wall_s"]], findings.read())
            findings.add("worker-cpu", [cost["cpu_s"]], findings.read())


def starting(findings, directory):
    """Many small sources, and one that is tiny."""
    if not findings.wants("sources", "start"):
        return
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        files = [Path(scratch, str(number)) for number in range(SOURCES)]
        for number, path in enumerate(files):
            path.write_bytes(number.to_bytes(8, "little") * (PAGES_EACH * scan_image.PAGE_SIZE // 8))
        command("scan", files[0])
        if findings.wants("start"):
            walls = [(command("scan", files[0])[0], numpy_alone()) for _ in range(3 * findings.repeats)]
            least = f"Python and numpy alone {median(alone for _, alone in walls):.2g} s"
            findings.add("start", [wall for wall, _ in walls], f"{least}; {findings.read()}")
        if findings.wants("sources"):
            findings.add("sources", findings.samples(lambda: command("scan", *files)[0]), findings.read())
