"""Times `pksm advise` of a guest's memory, an image in the page cache, and watches its own memory and its workers'.

The image is made of a load and deleted at the end. The advice is checked against the load's true answer: no page is left
out, and every simulation comes to rest with all of them merged.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import scan_image
from one_line import one_line
from storing import store

from pksm.errors import PksmError
from pksm.linux import system

POLL_S = 0.1
MOST_S, MOST_MIB, LEAST_RUNS = 60, 1536, 6
WORKLOADS = "*.workload"  # what the simulations share, in a file


def advise(path, scratch):
    """Advise on an image; return (document, {wall_s, cpu_s, memory_mib}). scratch: an empty directory for its files."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        command = [sys.executable, "-m", "pksm", "advise", str(path), "--json"]
        child = subprocess.Popen(command, stdout=out, env={**os.environ, "TMPDIR": str(scratch)})
        most = 0
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            shared = sum(file.stat().st_size for file in scratch.glob(WORKLOADS))
            most = max(most, own_bytes(child.pid) + shared)
            time.sleep(POLL_S)
        wall_s = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise PksmError(f"pksm advise ended with exit code {child.returncode}")
        out.seek(0)
        document = json.load(out)
    return document, {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime, "memory_mib": most / (1 << 20)}


def own_bytes(pid):
    """Return the anonymous and shared memory of a process and its workers; pages that they share count for each."""
    try:
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        workers = []
    return sum(map(_resident_bytes, [pid, *workers]))


def _resident_bytes(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


def check(document, load):
    """Raise PksmError unless all pages were looked at, and all that are equal merged in every simulation."""
    known = load.expected()
    wanted = {"pages": known["pages"], "partial": False, "warnings": []}
    for name, value in wanted.items():
        if document[name] != value:
            raise PksmError(f"pksm advise: {name} should be {value}, found {document[name]}")
    saved = (known["zero"] + known["duplicates"]) * document["page_size"]
    for row in document["pareto"]:
        if row["saved_bytes"] != saved:
            raise PksmError(f"pksm advise: {row['label']}: should save {saved} bytes, found {row['saved_bytes']}")


def measure(n_pages, load="f", directory=None):
    """Return what it took, and what was advised."""
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        path, own = Path(scratch, "image"), Path(scratch, "own")
        own.mkdir()
        made = scan_image.make_image(path, load, n_pages)
        document, took = advise(path, own)
        check(document, made)
    starred = next(row for row in document["pareto"] if row["starred"])
    return {
        "pages": n_pages,
        "load": load,
        "simulations": len(document["pareto"]),
        "verdict": document["verdict"]["kind"],
        "starred": starred["label"],
        **took,
    }


def table(document):
    """Return the lines of a table."""
    gib = document["pages"] * scan_image.PAGE_SIZE / (1 << 30)
    return [
        f"| advice on an image of {gib:g} GiB | measured | at most |",
        "|---|--:|--:|",
        f"| time, with {document['simulations']} simulations to rest | {document['wall_s']:.1f} s | {MOST_S} s |",
        f"| memory of pksm and its workers | {document['memory_mib']:,.0f} MiB | {MOST_MIB:,} MiB |",
    ]


def missed(document):
    """Return a line for each target that a stored result misses."""
    bounds = {
        f"{document['wall_s']:.1f} s, not {MOST_S}": document["wall_s"] <= MOST_S,
        f"{document['memory_mib']:,.0f} MiB, not {MOST_MIB:,}": document["memory_mib"] <= MOST_MIB,
        f"{document['simulations']} simulations, not {LEAST_RUNS}": document["simulations"] >= LEAST_RUNS,
    }
    return [line for line, is_met in bounds.items() if not is_met]


@one_line
def main(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/advise_image.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", type=int, default=1 << 20, help="pages of 4 KiB (%(default)s)")
    parser.add_argument("--load", default="f", help="what is in it (%(default)s)")
    parser.add_argument("--directory", type=Path, help="where the image may lie (the system's place for such files)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store the results")
    options = parser.parse_args(argv)
    found = measure(options.pages, options.load, options.directory)
    print(
        f"{found['pages']:,} pages, {found['simulations']} simulations to rest: {found['wall_s']:.1f} s "
        f"(at most {MOST_S}), {found['memory_mib']:,.0f} MiB (at most {MOST_MIB:,})"
    )
    store(options.json, {"machine": system.machine(), **found})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
