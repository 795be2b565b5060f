"""Times whole commands: the start of a small scan, 2,000 sources, 100,000 groups as JSON, and simulations.

Each command runs as a user's does, with compiled modules (a first run, which does not count, compiles them). What it
prints is checked against what is known of its input. Beside the wall time, CPU time is that of the command and all that
it has started.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from one_line import one_line
from storing import store

from pksm.errors import PksmError
from pksm.linux import system
from pksm.simulation.workloads import make

SOURCES, SOURCE_PAGES = 2000, 16
GROUPS, GROUP_PAGE = 100_000, 512


def run(words, scratch):
    """Run a command; return (its document, {wall_s, cpu_s})."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(scratch / "compiled")
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen([sys.executable, "-m", "pksm", *map(str, words)], stdout=out, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise PksmError(f"pksm {words[0]} ended with exit code {child.returncode}")
        out.seek(0)
        document = json.load(out) if "--json" in words else {}
    return document, {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime}


def require(what, found, expected):
    if found != expected:
        raise PksmError(f"{what}: should be {expected}, found {found}")


def expect_totals(load):
    def check(document):
        for name, count in load.expected().items():
            require(name, document["totals"][name], count)

    return check


def small(scratch):
    pages = np.empty((16, 4096), np.uint8)
    load = make("f", pages)
    (scratch / "small").write_bytes(pages.tobytes())
    return ["scan", "--json", scratch / "small"], expect_totals(load)


def many_sources(scratch):
    """Sources whose pages are a load's, the next ones for each."""
    pages = np.empty((SOURCES * SOURCE_PAGES, 4096), np.uint8)
    load = make("a", pages)
    pages[:, :8] = np.arange(1, len(pages) + 1, dtype="<u8").view(np.uint8).reshape(-1, 8)  # begins like no format
    names = [scratch / f"source-{number:04}" for number in range(SOURCES)]
    for number, name in enumerate(names):
        name.write_bytes(pages[number * SOURCE_PAGES : (number + 1) * SOURCE_PAGES].tobytes())

    def check(document):
        expect_totals(load)(document)
        require("sources", len(document["sources"]), SOURCES)

    return ["scan", "--json", *names], check


def many_groups(scratch):
    """Pairs of equal pages, each a group."""
    rng = np.random.default_rng(1)
    contents = rng.integers(1, 1 << 62, (GROUPS, GROUP_PAGE // 8))
    (scratch / "groups").write_bytes(contents[rng.permutation(2 * GROUPS) % GROUPS].tobytes())

    def check(document):
        require("groups", len(document["groups"]), GROUPS)
        require("pages of groups", sum(group["pages"] for group in document["groups"]), 2 * GROUPS)

    return ["scan", "--json", "--top", GROUPS, "--page-size", GROUP_PAGE, scratch / "groups"], check


def simulation(workload, policy, pages, *more):
    def prepared(scratch):
        def check(document):
            final = document["runs"][0]["final"]["counters"]
            require("frames used and saved", final["frames_used"] + final["frames_saved"], pages)

        return ["simulate", workload, "--json", "--policy", policy, "--pages", pages, *more], check

    return prepared


COMMANDS = {
    "small": ("scan of 16 pages", small),
    "sources": (f"scan of {SOURCES:,} sources of {SOURCE_PAGES} pages", many_sources),
    "groups": (f"{GROUPS:,} groups as JSON", many_groups),
    "pksmd": ("simulate f, 1M pages, 60 virtual s, pksmd", simulation("f", "pksmd", 1 << 20, "--until", "60s")),
    "ksmd": ("simulate f, 1M pages, 60 virtual s, ksmd", simulation("f", "ksmd", 1 << 20, "--until", "60s")),
    "family": ("simulate fork-family, ksmd", simulation("fork-family", "ksmd", 65536)),
}


def measure(name, repeats, directory=None):
    """Return {wall_s, cpu_s}, medians of the runs of a command."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        scratch = Path(folder)
        words, check = COMMANDS[name][1](scratch)
        runs = []
        for number in range(repeats + 1):
            document, took = run(words, scratch)
            check(document)
            if number or not repeats:
                runs.append(took)
    return {part: median(took[part] for took in runs) for part in ("wall_s", "cpu_s")}


@one_line
def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/commands.py", description=__doc__.partition("\n")[0])
    parser.add_argument("commands", nargs="*", metavar="NAME", help=f"of {', '.join(COMMANDS)} (all)")
    parser.add_argument("--repeats", type=int, default=3, help="of which the median counts (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where files may lie (the system's place for such files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the results")
    options = parser.parse_args(argv)
    results = {}
    for name in options.commands or COMMANDS:
        if name not in COMMANDS:
            raise PksmError(f"unknown command {name!r}: choose from {', '.join(COMMANDS)}")
        results[name] = measure(name, options.repeats, options.directory)
        print(f"{COMMANDS[name][0]:<46} {results[name]['wall_s']:7.3f} s wall {results[name]['cpu_s']:7.3f} s CPU")
    if options.json:
        document = {"machine": system.machine(), "repeats": options.repeats, "commands": results}
        store(options.json, document)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
