"""What restores keep in memory, on the running kernel: private mappings of one file, written where they differ."""

import mmap
from functools import partial

import numpy as np

from pksm.fleet import compare_snapshots
from pksm.sources import open_target

from support.memory_sources import write_file

SIZE = mmap.PAGESIZE


def kib_of(address, field):
    """A field of the mapping at an address, from /proc/self/smaps."""
    with open("/proc/self/smaps", encoding="utf-8", errors="replace") as file:
        lines = iter(file)
        next(line for line in lines if line.startswith(f"{address:x}-"))
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def restored(path, contents):
    """Map a file privately, write the pages that differ from it, and read all."""
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    pages = np.frombuffer(memory, np.uint8).reshape(-1, SIZE)
    differ = (pages != contents).any(axis=1)
    pages[differ] = contents[differ]
    assert (pages == contents).all()
    return pages


def test_pages_in_memory_are_those_that_are_counted(tmp_path):
    rng = np.random.default_rng(11)
    booted = rng.integers(1, 256, (60, SIZE), np.uint8)
    snapshots = [booted.copy() for _ in range(4)]
    for number, snapshot in enumerate(snapshots[1:], 1):
        snapshot[20:30] = 7  # the same in all of them
        snapshot[30 : 30 + 4 * number] = rng.integers(1, 256, (4 * number, SIZE), np.uint8)
    paths = [write_file(tmp_path / f"{number}", list(map(bytes, one)), SIZE) for number, one in enumerate(snapshots)]
    document = compare_snapshots([partial(open_target, path) for path in paths], SIZE)
    first, best, _ = document["bases"]
    for base in (first, best):
        mapped = [restored(base["path"], snapshot) for snapshot in snapshots]
        own = [kib_of(pages.ctypes.data, "Anonymous") * 1024 // SIZE for pages in mapped]
        assert own == [int((snapshots[paths.index(base["path"])] != one).any(axis=1).sum()) for one in snapshots]
        assert base["memory_pages"] == len(booted) + sum(own)
    assert (first["memory_pages"], best["memory_pages"]) == (60 + 14 + 18 + 22, 60 + 14 + 8 + 12)
