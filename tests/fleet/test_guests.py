"""Three guests of QEMU: a fleet of their fingerprints says what a scan of all three does; their memory as snapshots."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import time

import numpy as np
import pytest

from pksm.errors import UnsupportedError
from pksm.validation.kernel import programs

from support.asleep import wait_until_asleep
from support.cli_runs import document_apart as document
from support.writers.programs import connect, qmp

GUESTS = 3
PAGE, RAM_BYTES = 4096, 96 << 20


@pytest.fixture(scope="module")
def guests(tmp_path_factory):
    """Guests that have booted and are stopped: the process ids of their QEMUs, and files of their memory."""
    folder = tmp_path_factory.mktemp("guests")
    with contextlib.ExitStack() as stack:
        processes = []
        for guest in range(GUESTS):
            listens = ["-qmp", f"unix:qmp{guest},server=on,wait=off"]
            try:
                argv = [*programs.guest_command(f"console{guest}"), *listens]
            except UnsupportedError as reason:
                pytest.skip(str(reason))
            process = subprocess.Popen(argv, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(lambda one=process: (one.kill(), one.wait()))
            processes.append(process)
        for guest, process in enumerate(processes):
            while not (folder / f"console{guest}").exists():
                assert process.poll() is None, "QEMU does not start"
                time.sleep(0.01)
            programs.wait_until_booted(str(folder / f"console{guest}"))
            with socket.socket(socket.AF_UNIX) as talk:
                connect(talk, folder, f"qmp{guest}", process)
                with talk.makefile("rw") as lines:
                    lines.readline()
                    qmp(lines, "qmp_capabilities")
                    qmp(lines, "stop")
                    qmp(lines, "pmemsave", val=0, size=RAM_BYTES, filename=f"ram{guest}")
        for process in processes:
            wait_until_asleep(process.pid)
            os.kill(process.pid, signal.SIGSTOP)
        yield [process.pid for process in processes], [folder / f"ram{guest}" for guest in range(GUESTS)]


def of_each(guests, live):
    pids, files = guests
    return [["--pid", str(pid)] for pid in pids] if live else [[str(file)] for file in files]


@pytest.mark.parametrize("live", [True, False], ids=["processes", "files"])
def test_a_fleet_of_guests_is_a_scan_of_all(guests, live, tmp_path):
    named = of_each(guests, live)
    for guest, one in enumerate(named):
        document("fingerprint", "-o", tmp_path / f"h{guest}.fp", *one)
    fleet = document("fleet", tmp_path)
    scan = document("scan", *(word for one in named for word in one))
    totals = scan["totals"]
    saved = {one["within"]: one["saving_pages"]["value"] for one in fleet["partitions"]}
    assert (fleet["pages"], fleet["zero_pages"]) == (totals["pages"], totals["zero"])
    assert saved["all"] == totals["zero"] + totals["duplicates"]
    assert saved["all"] - saved["host"] > 1000, "they have booted the same kernel"
    # What all three have is base in a fleet of three, and in every cell of the scan's matrix.
    base = fleet["base"]["pages"]["value"]
    assert base > 500 and fleet["base"]["saving_pages"]["value"] == 2 * base
    assert (np.array(fleet["overlap"]["pages"]) + base).tolist() == scan["matrix"]


def test_guests_as_snapshots(guests):
    """Held against the files themselves."""
    _, files = guests
    found = document("fleet", "--snapshots", *files)
    digests = [digests_of(file) for file in files]
    assert found["pages"] == RAM_BYTES // PAGE
    zero, first, held = digest(bytes(PAGE)), digests[0], set(digests[0])
    for one, own in zip(found["snapshots"], digests, strict=True):
        assert one["zero_pages"] == own.count(zero)
        assert one["same_offset_pages"] == len(first) - differ(first, own)
        assert one["any_offset_pages"] == sum(page in held for page in own)
        assert one["run_2m_pages"] <= one["run_64k_pages"] <= one["same_offset_pages"]
    taken = {one["name"]: one["memory_pages"] for one in found["bases"]}
    assert taken["built"] <= taken["best"] <= taken["first"] < found["separate_pages"]
    assert taken["first"] == len(first) + sum(differ(first, own) for own in digests)


def digests_of(path):
    with open(path, "rb") as file:
        return [digest(page) for page in iter(lambda: file.read(PAGE), b"")]


def digest(page):
    return hashlib.blake2b(page, digest_size=16).digest()


def differ(one, other):
    return sum(a != b for a, b in zip(one, other, strict=True))
