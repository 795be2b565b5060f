"""Times whole commands that parse a file with and without the worker, in pairs, and watches the memory of both.

The images are made of load f, raw (mapped), of AVML (inflated, so that each page crosses between the two processes) and
as fingerprints; a small one shows the fixed cost, as does a trace of three lines. Each pair begins with the other one of
the two. CPU time is that of the command and its worker together; both must print the same document.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from storing import store

from pksm.linux import system
from pksm.simulation.workloads import make

PAGE_SIZE = 4096
POLL_S = 0.02
BLOCK = 16 << 20  # of an AVML image
TRACE = '{"op": "spawn", "process": "a"}\n{"op": "mmap", "process": "a", "address": 4294967296, "n": 9}\n{"op": "wait", "ms": 9}\n'
SWITCH = ("on", "off")


def make_raw(path, n_pages):
    """Write load f as raw memory."""
    image = np.memmap(path, np.uint8, "w+", shape=(n_pages, PAGE_SIZE))
    make("f", image)
    image.flush()


def make_avml(path, raw):
    """Write a raw image as AVML does."""
    import cramjam

    with open(path, "wb") as file, open(raw, "rb") as memory:
        at = 0
        while block := memory.read(BLOCK):
            stream = bytes(cramjam.snappy.compress(block))
            file.write(struct.pack("<4sIQQQ", b"AVML", 2, at, at + len(block) - 1, 0))
            file.write(stream + struct.pack("<Q", len(stream)))
            at += len(block)


def run(words, switch):
    """Run a command; return (its document without what it took, {wall_s, cpu_s, kib})."""
    command = [sys.executable, "-m", "pksm", *map(str, words)]
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out, env={**os.environ, "PKSM_SANDBOX": switch})
        most = 0
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            most = max(most, kib_of(child.pid))
            time.sleep(POLL_S)
        wall_s = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {child.returncode}")
        out.seek(0)
        document = json.load(out)
    for part in (document, *document.get("runs", ())):
        part.pop("cost", None)
        if "final" in part:
            part["final"] = {name: value for name, value in part["final"].items() if name not in ("cost", "steps")}
    return document, {"wall_s": wall_s, "cpu_s": usage.ru_utime + usage.ru_stime, "kib": most}


def kib_of(pid):
    """Return the anonymous and shared memory of a process and its children, each page once; 0 if it is gone."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        children = []
    return sum(map(_kib, [pid, *children]))


def _kib(pid):
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))


def measure(words, pairs):
    """Return medians of each way, and the median of the quotients of pairs."""
    runs = {switch: [] for switch in SWITCH}
    documents = []
    for number in range(pairs + 1):  # the first warms the page cache and does not count
        for switch in SWITCH if number % 2 else reversed(SWITCH):
            document, cost = run(words, switch)
            documents.append(document)
            if number:
                runs[switch].append(cost)
    if any(document != documents[0] for document in documents):
        raise SystemExit(f"{words}: the documents differ")
    found = {
        switch: {name: median(cost[name] for cost in costs) for name in costs[0]} for switch, costs in runs.items()
    }
    quotients = {
        name: median(on[name] / off[name] for on, off in zip(runs["on"], runs["off"], strict=True))
        for name in ("wall_s", "cpu_s", "kib")
    }
    return {**found, "on_by_off": quotients, "least": {switch: _least(costs) for switch, costs in runs.items()}}


def _least(costs):
    return {name: min(cost[name] for cost in costs) for name in costs[0]}


def main():
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=1 << 18, help="of the big images (default 1 GiB)")
    parser.add_argument("--pairs", type=int, default=7, help="of runs with and without (default 7)")
    parser.add_argument("--directory", help="for the images; by default that for temporary files")
    parser.add_argument("--json", help="write the results to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.directory) as scratch:
        raw, small, avml, kept, trace = (
            Path(scratch, name) for name in ("raw", "small", "avml", "kept", "trace.jsonl")
        )
        make_raw(raw, given.pages)
        make_raw(small, 256)
        make_avml(avml, raw)
        trace.write_text(TRACE, encoding="ascii")
        scan = ["scan", "--threads", "1", "--json"]
        run(["fingerprint", "-o", kept, raw], "off")
        commands = {
            "raw": [*scan, raw],
            "avml": [*scan, avml],
            "fingerprints": [*scan, kept],
            "raw, 1 MiB": [*scan, small],
            "trace of three lines": ["simulate", "--json", trace],
        }
        rows = {name: measure(words, given.pairs) for name, words in commands.items()}
    for name, row in rows.items():
        off, on = row["off"], row["on"]
        print(
            f"{name:<22} wall {off['wall_s']:7.3f} → {on['wall_s']:7.3f} s ({row['on_by_off']['wall_s'] - 1:+.1%})   "
            f"CPU {off['cpu_s']:7.3f} → {on['cpu_s']:7.3f} s ({row['on_by_off']['cpu_s'] - 1:+.1%})   "
            f"memory {off['kib'] / 1024:7.1f} → {on['kib'] / 1024:7.1f} MiB ({row['on_by_off']['kib'] - 1:+.1%})"
        )
    if given.json:
        document = {
            "command": "python benchmarks/sandbox.py",
            "machine": system.machine(),
            "pages": given.pages,
            "pairs": given.pairs,
            "rows": rows,
        }
        store(given.json, document)


if __name__ == "__main__":
    main()
