"""Twenty Python processes: a fleet of their fingerprints equals a scan of all of them at once."""

import contextlib
import os
import subprocess
import sys

import pytest

from support.asleep import wait_until_asleep
from support.cli_runs import document_apart as document

PROCESSES, HOSTS = 20, 4
# What process `number` has besides its interpreter: pages that all have, pages of its parity, and pages of its own.
PROGRAM = """
import mmap, sys
number = int(sys.argv[1])
pages = [(kind, which, page) for kind, which, n in ((1, 0, 60), (2, number % 2, 40), (3, number, 20)) for page in range(n)]
held = mmap.mmap(-1, 4096 * len(pages), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in pages:
    held.write(bytes(page).ljust(4096, b"x"))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def pids():
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-S", "-c", PROGRAM, str(number)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "PYTHONHASHSEED": "0"},
                )
            )
            for number in range(PROCESSES)
        ]
        try:
            for process in processes:
                assert process.stdout.readline() == b"ready\n"
                wait_until_asleep(process.pid)
            yield [process.pid for process in processes]
        finally:
            for process in processes:
                process.kill()


def of(pids):
    return [word for pid in pids for word in ("--pid", pid)]


def test_a_fleet_of_processes_is_a_scan_of_all(pids, tmp_path):
    hosts = [pids[host::HOSTS] for host in range(HOSTS)]
    for host, own in enumerate(hosts):
        document("fingerprint", "-o", tmp_path / f"h{host}.fp", *of(own))
    fleet = document("fleet", tmp_path)
    assert (fleet["vms"], len(fleet["hosts"]), fleet["keep"]) == (PROCESSES, HOSTS, 1)
    saved = {one["within"]: one["saving_pages"]["value"] for one in fleet["partitions"]}

    totals = document("scan", *of(pids))["totals"]
    assert (fleet["pages"], fleet["zero_pages"]) == (totals["pages"], totals["zero"])
    assert saved["all"] == totals["zero"] + totals["duplicates"]
    assert fleet["contents"]["value"] == totals["pages"] - totals["zero"] - totals["duplicates"]
    assert saved["all"] - saved["host"] >= 60 * (HOSTS - 1) + 2 * 40 * (HOSTS // 2 - 1)
    assert saved["all"] >= 60 * (PROCESSES - 1) + 2 * 40 * (PROCESSES // 2 - 1)
