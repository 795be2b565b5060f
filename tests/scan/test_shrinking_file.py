"""A mapped file that shrinks while pksmd works on it: an error, and nothing that was decided is lost."""

import mmap
import os

import numpy as np
import pytest

from pksm import FlatHost, Pksmd, Store, preset
from pksm.engine import native
from pksm.errors import BusError
from pksm.policies.pksmd.daemon import WINDOW

SIZE, PAGES = mmap.PAGESIZE, 60


@pytest.fixture(autouse=True)
def catch_bus_errors():
    native.catch_bus_errors()


@pytest.fixture
def image(tmp_path):
    """A file of 60 pages: 20 contents, three pages each, the first of them zero."""
    path = tmp_path / "image"
    contents = np.zeros((PAGES, SIZE), np.uint8)
    contents[:] = (np.arange(PAGES) % 20)[:, None]
    path.write_bytes(contents.tobytes())
    return path


@pytest.mark.parametrize("order", ["checksum-content", "content"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("left", [1, 19, 21, 40, 59])
def test_what_was_decided_stands_and_the_rest_waits(image, left, threads, order, monkeypatch):
    monkeypatch.setattr("pksm.engine.summing.PARALLEL_PAGES", 8)
    contents = image.read_bytes()
    store = Store(SIZE)
    with open(image, "r+b") as file:
        first = store.add(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    host = FlatHost(store)
    daemon = Pksmd(host, preset("fixed").with_(order=order), threads=threads)
    host.add(np.arange(first, first + PAGES))
    os.truncate(image, left * SIZE)
    with pytest.raises(BusError, match="shrank"):
        daemon.wake()
    daemon.check()
    host.check()
    counters = daemon.counters()
    decided = host.frames_saved + counters["pages_shared"] + counters["pages_unshared"]
    windows = max(0, left // WINDOW - 1)  # the next one is summed before a window is settled
    assert windows * WINDOW <= decided <= left, "pages are settled a window at a time"
    assert counters["rescan_len"] == PAGES - decided
    image.write_bytes(contents)
    while not daemon.at_rest:
        daemon.wake()
    daemon.check()
    assert (host.frames_saved, daemon.counters()["pages_shared"]) == (3 + 19 * 2, 19)
