"""Rule 2 over the whole path of a scan: batches, never pages."""

import gc
import os
import tracemalloc

import numpy as np

from pksm import extents
from pksm.extents import State
from pksm.scan import Settings, scan
from pksm.simulation.workloads import make
from pksm.sources import Region

from support.line_events import line_events
from support.memory_sources import GivenSource
from support.scans import SIZE, scan_files


def write_load(path, n_pages):
    memory = np.empty((n_pages, 4096), np.uint8)
    make("f", memory, seed=7)
    memory.tofile(path)
    return os.fspath(path)


def test_no_python_per_page(tmp_path):
    few, many = (write_load(tmp_path / str(n), n) for n in (1024, 16384))
    scan_files(few)  # whatever is loaded late is loaded now
    events = {path: line_events(lambda path=path: scan_files(path)) for path in (few, many)}
    assert 0 < events[many] <= events[few] * 1.1, events


def test_no_python_per_page_of_a_process():
    def lines(n):
        contents = np.random.Generator(np.random.PCG64(1)).integers(0, 200, (n, SIZE), np.uint8)
        frames, exclusive = np.arange(1, n + 1) // 2, np.zeros(n, bool)

        class Live(GivenSource):
            def regions(self, page_size, allocate, progress):
                copies = allocate(n)
                copies.array[:] = contents
                runs = extents.make_runs([State.DATA], [0], [0], [n])
                yield Region(runs, copies=copies, frames=frames.astype(np.uint64), exclusive=exclusive)

        pair = [Live("one", [], names=["heap"]), Live("two", [], names=["heap"])]
        return line_events(lambda: scan(pair, Settings(page_size=SIZE)))

    lines(1024)
    few, many = lines(1024), lines(16384)
    assert 0 < many <= few * 1.1, (few, many)


def test_memory_a_page(tmp_path):
    batch = {"pages_to_scan": 4096}  # what a batch needs besides doesn't grow with the pages
    few, many = (write_load(tmp_path / str(n), n) for n in (16384, 65536))
    scan_files(few)
    peaks = {}
    for path in (few, many):
        gc.collect()
        tracemalloc.start()
        try:
            scan_files(path, changes=batch)
            peaks[path] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    a_page = (peaks[many] - peaks[few]) / (65536 - 16384)
    assert a_page <= 64, f"{a_page:.1f} bytes a page beside the store"
