"""A Python fork server, and what the kernel's ksmd makes of it with all of its memory opted in, or some of it."""

import contextlib
import subprocess
import sys

from pksm.advice.opting import opt

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
