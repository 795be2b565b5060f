"""The recipe for gem5, with a stand-in: another process that writes a named shared file while it is let go on."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from examples.gem5_guest import TICKS_PER_MS, GuestMerging

PAGES, SIZE = 300, 4096
GUEST = """
import mmap, random, sys
path, pages = sys.argv[1], int(sys.argv[2])
file = open(path, "r+b")
ram, choose = mmap.mmap(file.fileno(), 0), random.Random(3)
for line in sys.stdin:
    for _ in range(int(line)):
        page, content = choose.randrange(pages), choose.randrange(6)
        ram[page * 4096 : page * 4096 + 4096] = bytes([content]) * 4096
    print("limit", flush=True)
"""


@pytest.fixture
def guest(tmp_path):
    """A module like m5, whose guest writes a page in each virtual millisecond, and the path of its RAM."""
    folder = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
    path = folder / f"pksm-test-{tmp_path.name}"
    path.write_bytes(bytes(PAGES * SIZE))
    process = subprocess.Popen(
        [sys.executable, "-c", GUEST, path, str(PAGES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def simulate(ticks):
        process.stdin.write(f"{ticks // TICKS_PER_MS}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "limit\n"
        return types.SimpleNamespace(getCause=lambda: "simulate() limit reached")

    try:
        yield types.SimpleNamespace(simulate=simulate), path
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
        path.unlink()


def test_a_guest_s_memory_is_merged_where_it_is(guest):
    m5, path = guest
    merging = GuestMerging(path)
    for _ in range(60):
        assert m5.simulate(merging.ticks_to_next()).getCause() == "simulate() limit reached"
        merging.wake()
        merging.daemon.check()
    while not merging.daemon.at_rest:
        merging.wake()
    merging.host.check()
    pages = np.frombuffer(path.read_bytes(), np.uint8).reshape(PAGES, SIZE)
    contents = {bytes(page) for page in pages if page.any()}
    assert len(contents) == 5 and merging.host.frames_saved == PAGES - len(contents)
    merging.close()
