"""Opting in only profitable ranges of a fork server: nearly all of the saving, for less scanning by the kernel's ksmd."""

import contextlib
import subprocess
import sys

import pytest

from pksm.advice.opting import opt
from pksm.errors import UnsupportedError
from pksm.linux.ksm import Borrowed

pytestmark = pytest.mark.kernel
SCANS = 4
# Loads modules and a table, then forks workers; each makes a table that all of them have, and data of its own.
SERVER = """
import argparse, email, http.client, json, os, signal, sys, xml.dom.minidom
table = [f"row {n} of the server" * 3 for n in range(60_000)]
children = []
for worker in range(4):
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        import decimal, fractions, statistics
        cache = bytearray(b"".join(n.to_bytes(4, "little") * 1024 for n in range(1, 1025)))
        answers = bytearray(os.urandom(12 << 20))
        os.write(done, b"!")
        signal.pause()
    os.read(ready, 1)
    children.append(child)
print(os.getpid(), *children, flush=True)
sys.stdin.read()
for child in children:
    os.kill(child, 9)
"""


@contextlib.contextmanager
def fork_server():
    """The pids of a server and its workers, which sleep."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield list(map(int, process.stdout.readline().split()))
        process.stdin.close()


def merged(borrowed, ranges):
    """Return (pages saved, pages that a scan looks at) after some scans."""
    borrowed.reset()
    with fork_server() as pids:
        opt(pids, ranges=ranges)
        borrowed.scan(SCANS - 1)
        before = borrowed.counters()["pages_scanned"]
        borrowed.scan(1)
        counters = borrowed.counters()
        return counters["pages_sharing"], counters["pages_scanned"] - before


def test_profitable_ranges_save_nearly_all_for_half_of_the_scanning():
    try:
        with Borrowed() as borrowed:
            saved, scanned = merged(borrowed, "all")
            some_saved, some_scanned = merged(borrowed, "profitable")
    except UnsupportedError as error:
        pytest.skip(str(error))
    print(f"all: {saved} saved, {scanned} scanned; profitable: {some_saved} saved, {some_scanned} scanned")
    assert saved > 3 * 1024
    assert some_saved >= 0.95 * saved
    assert some_scanned <= 0.5 * scanned
